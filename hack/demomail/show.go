package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"strings"
)

// showFile shows the mail in a file.
func showFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return show(w, f)
}

// show writes what a mail program shows: who, what about, and the plain text.
func show(w io.Writer, r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return fmt.Errorf("reading a mail: %w", err)
	}
	for _, name := range []string{"From", "To", "Subject", "Message-ID"} {
		value, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
		if err != nil {
			return fmt.Errorf("reading the header %s: %w", name, err)
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", name, value); err != nil {
			return err
		}
	}
	text, err := plain(m.Header.Get, m.Body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")))
	return err
}

// plain finds the plain text of a mail, or of a part of one.
func plain(header func(string) string, body io.Reader) (string, error) {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		return "", fmt.Errorf("reading what a part is: %w", err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return "", fmt.Errorf("looking for the plain text: %w", err)
			}
			if text, err := plain(p.Header.Get, p); err == nil {
				return text, nil
			}
		}
	}
	if kind != "text/plain" {
		return "", errors.New("this is no plain text")
	}
	switch strings.ToLower(header("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	return string(text), err
}
