package main

import (
	"errors"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const both = "From: =?utf-8?q?Licences_=E2=9C=93?= <licences@contoso.example>\r\nTo: <ada@contoso.example>\r\nSubject: Taken\r\n over\r\nMessage-ID: <1@contoso.example>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/html\r\n\r\n<p>Words</p>\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nA long =\r\nline =E2=9C=93\r\n--b--\r\n"

func TestShow(t *testing.T) {
	const header = "From: Licences ✓ <licences@contoso.example>\nTo: <ada@contoso.example>\nSubject: Taken over\nMessage-ID: <1@contoso.example>\n\n"
	plain, _, _ := strings.Cut(both, "Content-Type")
	for name, tc := range map[string]struct{ mail, want string }{
		"both forms":   {both, header + "A long line ✓\n"},
		"base64":       {plain + "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nV29yZHM=\r\n", header + "Words\n"},
		"as it is":     {plain + "Content-Type: text/plain\r\n\r\nWords\r\nand more\r\n", header + "Words\nand more\n"},
		"no plain one": {plain + "Content-Type: text/html\r\n\r\nWords\r\n", ""},
		"no mail":      {"Words", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := show(&b, strings.NewReader(tc.mail)); (err == nil) != (tc.want != "") || err == nil && b.String() != tc.want {
				t.Errorf("%q, %v", b.String(), err)
			}
		})
	}
}

// A mailbox numbers what comes by SMTP, and overwrites nothing of an earlier run.
func TestKeeps(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		l, err := listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := (&mailbox{folder: dir}).server()
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		for _, text := range []string{"one", "two"} {
			if err := smtp.SendMail(l.Addr().String(), nil, "a@example.org", []string{"b@example.org"}, []byte("Subject: "+text+"\r\n\r\nWords.\r\n")); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(s.Close(), <-served); err != nil {
			t.Error(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 4 {
		t.Errorf("%v, %v", files, err)
	}
	if last, err := os.ReadFile(filepath.Join(dir, "4.eml")); string(last) != "Subject: two\r\n\r\nWords.\r\n" {
		t.Errorf("%q, %v", last, err)
	}
	if _, err := listen("0.0.0.0:0"); err == nil {
		t.Error("it takes mail from everybody")
	}
}
