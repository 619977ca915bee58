package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox is a folder with mails.
type mailbox struct {
	folder string

	mu   sync.Mutex
	last int
}

// server is the mail server of a mailbox.
func (b *mailbox) server() *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }))
	s.Domain = "mail.example"
	s.MaxRecipients, s.MaxMessageBytes = 10, 1<<20
	s.ReadTimeout, s.WriteTimeout = time.Minute, time.Minute
	return s
}

// keep writes a mail under the next number, whole or not at all.
func (b *mailbox) keep(content []byte, from string, to []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := ""
	for {
		b.last++
		path = filepath.Join(b.folder, strconv.Itoa(b.last)+".eml")
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
	}
	if err := os.WriteFile(path+".part", content, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return err
	}
	fmt.Printf("%s: from %s to %v\n", filepath.Base(path), from, to)
	return nil
}

// session is a connection, on which several mails may come.
type session struct {
	box  *mailbox
	from string
	to   []string
}

// Mail begins a mail.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

// Rcpt names somebody whom it goes to.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data takes it.
func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.box.keep(content, s.from, s.to)
}

// Reset forgets a mail that was begun.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout ends the connection.
func (s *session) Logout() error { return nil }

// listen makes sure that only this host can send mails.
func listen(address string) (net.Listener, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || !a.IP.IsLoopback() {
		return nil, fmt.Errorf("--listen=%s: it takes mail from everybody without TLS or a login, so set it to an address such as 127.0.0.1:1025", address)
	}
	return net.ListenTCP("tcp", a)
}
