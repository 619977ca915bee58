package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"io"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WriteCSV writes records as RFC 4180 has it, each line ended by CR LF. What is
// inside of a cell stays as it is: encoding/csv drops carriage returns there
// when it ends lines that way itself.
func WriteCSV(w io.Writer, records iter.Seq[[]string]) error {
	var line bytes.Buffer
	write, out := csv.NewWriter(&line), bufio.NewWriter(w)
	for record := range records {
		line.Reset()
		if err := write.Write(record); err != nil {
			return err
		}
		write.Flush()
		line.Truncate(line.Len() - len("\n"))
		line.WriteString("\r\n")
		if _, err := line.WriteTo(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

// Text keeps a spreadsheet from taking what somebody typed for a formula, by an
// apostrophe before what could begin one. That is the start of the text, and
// what follows a separator or a quote, because a spreadsheet may cut a line at
// another separator than ours. Blanks before it make no difference.
//
// What begins with an apostrophe there gets another one. So the text is had
// back by taking one away wherever there is one at the start, or right after a
// comma, semicolon, bar, quote or control character.
func Text(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		end := len(s) // of the part up to the next separator, with it
		if i := strings.IndexFunc(s, separates); i >= 0 {
			_, size := utf8.DecodeRuneInString(s[i:])
			end = i + size
		}
		if s[0] == '\'' || beginsFormula(s[:end]) {
			b.WriteByte('\'')
		}
		b.WriteString(s[:end])
		s = s[end:]
	}
	return b.String()
}

func separates(r rune) bool { return strings.ContainsRune(",;|\"", r) || unicode.IsControl(r) }

func beginsFormula(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || strings.ContainsRune("=+-@＝＋－＠", r) {
			return true
		}
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) { // Cf is not seen either
			return false
		}
	}
	return false
}
