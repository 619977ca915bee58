// Command demomail is the mail server of the demo: it delivers nothing, and
// keeps each mail as a file.
//
//	demomail --listen ADDRESS --folder FOLDER  writes what comes to FOLDER/1.eml, FOLDER/2.eml, ...
//	demomail show FILE                         shows a mail: who, what about, and its text
//
// It speaks plain SMTP, for loopback only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:1025", "`address` to serve at")
	folder := flag.String("folder", "", "`folder` to keep mails in")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var err error
	switch {
	case flag.NArg() == 2 && flag.Arg(0) == "show" && *folder == "":
		err = showFile(os.Stdout, flag.Arg(1))
	case flag.NArg() == 0 && *folder != "":
		err = serve(ctx, *listen, *folder)
	default:
		fmt.Fprintln(os.Stderr, "demomail: set --folder, or use: demomail show FILE")
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demomail:", err)
		os.Exit(1)
	}
}

// serve takes mails until ctx ends.
func serve(ctx context.Context, address, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	l, err := listen(address)
	if err != nil {
		return err
	}
	s := (&mailbox{folder: folder}).server()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	fmt.Println("ready at", l.Addr())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return s.Close()
	}
}
