// Package coverage keeps docs/coverage.md true: each statement of the founding
// documents has a place in the product, a test that is there, and a chapter of
// the demo or a reason.
package coverage

import (
	"fmt"
	"regexp"
	"strings"
)

// A row is one statement.
type row struct {
	id    string // such as S-1
	cells []string
}

// Columns of a row.
const (
	colID = iota
	colSays
	colPlace
	colTest
	colDemo
	columns
)

const header = "| # | what it says | kind and field | test | demo |"

var (
	separator = regexp.MustCompile(`^\|(-+\|)+$`)
	number    = regexp.MustCompile(`^([A-Z])-([1-9]\d*)$`)
	loose     = regexp.MustCompile(`^\s*\|\s*[A-Z]-\d`)
)

// parse reads the tables of a page. Faults are of its form: a document that goes
// on with another one's letter, numbers that are not one after the other, a
// heading without a statement.
func parse(page string) (rows []row, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	document, heading, letter := "", "", ""
	inTable, next, since := false, 1, 0
	letters := map[string]string{}
	closeHeading := func() {
		if heading != "" && since == 0 {
			fault("heading %q has no statement", heading)
		}
	}
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "):
			closeHeading()
			document, heading, letter, next = line[3:], "", "", 1
		case strings.HasPrefix(line, "### "):
			closeHeading()
			heading, since = line[4:], 0
		case line == header:
			if document == "" || heading == "" {
				fault("a table is under no document and heading")
			}
			inTable = true
			continue
		case inTable && separator.MatchString(line):
			continue
		case inTable && strings.HasPrefix(line, "|"):
			r := row{cells: strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")}
			for i := range r.cells {
				r.cells[i] = strings.TrimSpace(r.cells[i])
			}
			r.id = r.cells[colID]
			rows, since = append(rows, r), since+1
			m := number.FindStringSubmatch(r.id)
			if m == nil {
				fault("%q is no number of a statement", r.id)
				continue
			}
			if letter == "" {
				letter = m[1]
				if other, used := letters[letter]; used {
					fault("%s: %q has the letter of %q", r.id, document, other)
				}
				letters[letter] = document
			}
			if want := fmt.Sprintf("%s-%d", letter, next); r.id != want {
				fault("%s comes where %s should", r.id, want)
			}
			next++
			continue
		}
		inTable = false
		if loose.MatchString(line) {
			fault("%s is in no table", line)
		}
	}
	closeHeading()
	return rows, faults
}

// isEmpty reports whether a cell says nothing.
func isEmpty(cell string) bool { return strings.Trim(cell, " -–—.`") == "" }
