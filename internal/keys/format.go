package keys

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Lines of other lengths, in bytes, are something else by mistake. A shorter
// key could also be guessed from its fingerprint.
const minKeyLength, maxKeyLength = 8, 512

// maxLines is how many rejected lines Parse lists; it counts all.
const maxLines = 20

// Format5x5 is five groups of five letters or digits, the usual form of
// product keys and Remote Desktop licence codes.
const Format5x5 = "5x5"

var pattern5x5 = regexp.MustCompile(`^[A-Z0-9]{5}(-[A-Z0-9]{5}){4}$`)

// Is5x5 reports whether a key has the format 5x5: nothing but capital letters,
// digits and four hyphens.
func Is5x5(key string) bool { return pattern5x5.MatchString(key) }

// CompileFormat returns the expression that keys of a pool must match, or nil
// if any line will do. At most one of format and pattern is set; pattern has
// to match a key as a whole.
func CompileFormat(format, pattern string) (*regexp.Regexp, error) {
	switch {
	case format == Format5x5:
		return pattern5x5, nil
	case format != "":
		return nil, fmt.Errorf("unknown key format %q: use %q or a pattern", format, Format5x5)
	case pattern != "":
		re, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil {
			return nil, fmt.Errorf("pattern is not a regular expression: %w", err)
		}
		return re, nil
	}
	return nil, nil
}

// Entry is one entry of a Secret that holds keys, one a line.
type Entry struct {
	Secret, Name string
	Data         []byte
}

// Rejection is a place that holds no usable key. It never quotes the content.
type Rejection struct {
	Secret, Entry string
	Line          int // from 1; 0 when the whole entry is rejected
	Reason        string
}

// Rejections lists the places that hold no usable key: every entry that is
// rejected as a whole, and the first lines of the others.
type Rejections struct {
	Entries, Lines []Rejection
	Total          int // how many places there are, listed or not
}

// Parse reads the keys of all entries, in order. Blank lines and the space
// around keys are ignored. Each line that holds no usable key, one that was
// there before, or one that taken gives a reason against, is rejected.
func Parse(entries []Entry, format *regexp.Regexp, taken func(key string) string) (keys []string, rejected Rejections) {
	type place struct {
		entry *Entry
		line  int
	}
	first := make(map[string]place)
	for i := range entries {
		e := &entries[i]
		reject := func(line int, reason string) {
			rejected.Total++
			r := Rejection{Secret: e.Secret, Entry: e.Name, Line: line, Reason: reason}
			if line == 0 {
				rejected.Entries = append(rejected.Entries, r)
			} else if len(rejected.Lines) < maxLines {
				rejected.Lines = append(rejected.Lines, r)
			}
		}
		switch {
		case !utf8.Valid(e.Data) || bytes.IndexByte(e.Data, 0) >= 0:
			reject(0, "binary data: write one key per line, as text")
			continue
		case bytes.Contains(e.Data, []byte("-----BEGIN")):
			reject(0, "a PEM block, perhaps a private key: take it out of the pool")
			continue
		}
		line := 0
		for text := range strings.Lines(strings.TrimPrefix(string(e.Data), "\ufeff")) {
			line++
			key := strings.TrimSpace(text)
			switch before, seen := first[key]; {
			case key == "":
			case len(key) < minKeyLength:
				reject(line, fmt.Sprintf("shorter than %d bytes", minKeyLength))
			case len(key) > maxKeyLength:
				reject(line, fmt.Sprintf("longer than %d bytes", maxKeyLength))
			case strings.ContainsFunc(key, unprintable):
				reject(line, "contains a control character")
			case format != nil && !format.MatchString(key):
				reject(line, "does not have the format of the pool")
			case seen && before.entry == e:
				reject(line, fmt.Sprintf("duplicate of line %d", before.line))
			case seen:
				reject(line, fmt.Sprintf("duplicate of Secret %s, entry %s, line %d", before.entry.Secret, before.entry.Name, before.line))
			case taken(key) != "":
				reject(line, taken(key))
			default:
				first[key] = place{e, line}
				keys = append(keys, key)
			}
		}
	}
	return keys, rejected
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }
