package coverage

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	code    = regexp.MustCompile("`([^`]+)`")
	link    = regexp.MustCompile(`\]\(([^)]+)\)`)
	field   = regexp.MustCompile(`^([A-Z][A-Za-z]+)\.((?:spec|status)(?:\.[A-Za-z0-9]+(?:\[\])?)*)$`)
	kind    = regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	oneTest = regexp.MustCompile("^`([a-z0-9/]+): (Test[A-Za-z0-9_]+)(?:/([^`]+))?`$")
	because = regexp.MustCompile(`^not shown: \S.*$`)
)

// check says what is wrong with a row.
func (r *repo) check(cells []string) error {
	if len(cells) != columns {
		return fmt.Errorf("it has %d cells and not %d", len(cells), columns)
	}
	for i, cell := range cells {
		if isEmpty(cell) {
			return fmt.Errorf("cell %d is empty", i+1)
		}
	}
	if reason, out := strings.CutPrefix(cells[colPlace], "left out"); out {
		if !strings.HasPrefix(reason, ": ") || isEmpty(reason[2:]) {
			return errors.New("it is left out without a reason")
		}
		if cells[colTest] != "left out" || cells[colDemo] != "left out" {
			return errors.New("it is left out, and has a test or a chapter")
		}
		return r.links(cells[colPlace])
	}
	return errors.Join(r.place(cells[colPlace]), r.test(cells[colTest]), r.demo(cells[colDemo]))
}

// place checks all that carries a statement out.
func (r *repo) place(cell string) error {
	var errs []error
	refs := code.FindAllStringSubmatch(cell, -1)
	for _, m := range refs {
		errs = append(errs, r.reference(m[1]))
	}
	if len(refs) == 0 && !link.MatchString(cell) {
		errs = append(errs, errors.New("nothing is named that carries it out"))
	}
	return errors.Join(append(errs, r.links(cell))...)
}

func (r *repo) links(cell string) error {
	var errs []error
	for _, m := range link.FindAllStringSubmatch(cell, -1) {
		errs = append(errs, r.link(m[1]))
	}
	return errors.Join(errs...)
}

// reference checks what stands between backquotes.
func (r *repo) reference(text string) error {
	words := strings.Fields(text)
	m := field.FindStringSubmatch(text)
	switch {
	case m != nil:
		return r.field(m[1], m[2])
	case kind.MatchString(text):
		if _, ours := r.schemas[text]; !ours && builtin[text] == "" {
			return fmt.Errorf("there is no kind %s", text)
		}
		return nil
	case len(words) > 1 && words[0] == "kubectl":
		return r.kubectl(words[1:])
	case len(words) > 1 && words[0] == "license-operator":
		found, err := r.testsOf("internal/" + words[1])
		if err == nil && len(found.functions) == 0 {
			err = fmt.Errorf("there is no command %s", words[1])
		}
		return err
	case strings.HasPrefix(text, "license-operator-"):
		if !r.names[text] {
			return fmt.Errorf("there is no role or policy %s", text)
		}
		return nil
	}
	return fmt.Errorf("%q cannot be checked", text)
}

func (r *repo) test(cell string) error {
	m := oneTest.FindStringSubmatch(cell)
	if m == nil {
		return fmt.Errorf("%s is not one test, such as `controllers: TestCancelInTime/at once`", cell)
	}
	found, err := r.testsOf(m[1])
	if err != nil {
		return err
	}
	if !found.functions[m[2]] {
		return fmt.Errorf("%s has no test %s", m[1], m[2])
	}
	if m[3] != "" && !found.texts[m[3]] {
		return fmt.Errorf("%s of %s has no row %q", m[2], m[1], m[3])
	}
	return nil
}

func (r *repo) demo(cell string) error {
	if !r.chapters[cell] && cell != "needs days" && !because.MatchString(cell) {
		return fmt.Errorf("the demo has no chapter %q", cell)
	}
	return nil
}
