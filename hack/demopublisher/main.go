// Command demopublisher is a small SaaS as a publisher would run it that sells
// through license-operator: Fourth Coffee, with Coffee Analytics. It is written
// from the public documentation of the SaaS fulfilment API (version 2) and
// shares no code with the operator.
//
//	GET  /landing?token=...       the link that a customer comes with: it is resolved, and the browser
//	                              goes on to the account without the token in its address
//	GET  /accounts/<id>           a new purchase: what is needed to set it up; else: manage it
//	POST /accounts/<id>/activate  sets it up, and has billing begin
//	POST /accounts/<id>/users     so many people use it now
//	POST /accounts/<id>/plan, /accounts/<id>/seats, /accounts/<id>/end
//	                              changes that are asked for here, where the marketplace lets the customer
//	POST /webhook                 what happens at the marketplace
//
// The files:
//
//	api.go, apitypes.go  a client of the ten calls
//	accounts.go          what is known of the customers
//	landing.go           who may see which account
//	account.go           the pages of an account
//	webhook.go           decides what to do about an operation, once for each
//	catchup.go           looks for what was missed while this was not running
//	site.go, page.go     what all requests and all pages have in common
//
// It serves plain HTTP: a proxy in front of it has the certificate.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long requests have to finish when the program is stopped.
const stopGrace = 10 * time.Second

// options are those of the command line.
type options struct {
	listen, publicURL, fulfillmentURL, tokenFile, audience, data string
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8090", "`address` to serve at")
	flag.StringVar(&o.publicURL, "public-url", "", "`URL` under which people reach this; http:// and --listen if empty")
	flag.StringVar(&o.fulfillmentURL, "fulfillment-url", "http://127.0.0.1:8083", "base `URL` of the fulfilment API")
	flag.StringVar(&o.tokenFile, "token-file", "", "`file` with the token to call the fulfilment API with; it is read anew for each call")
	flag.StringVar(&o.audience, "audience", "fourth-coffee", "`audience` that webhook tokens must be made out to")
	flag.StringVar(&o.data, "data", "", "`folder` to keep accounts in; if empty they are forgotten at the end")
	flag.Parse()
	if flag.NArg() > 0 || o.tokenFile == "" {
		fmt.Fprintln(os.Stderr, "demopublisher: set --token-file, and give flags only")
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "demopublisher:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o options) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	base, err := url.Parse(strings.TrimSuffix(o.fulfillmentURL, "/"))
	if err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return errors.New("--fulfillment-url must be an absolute URL such as https://licences.example, without user, query or #")
	}
	accounts, err := openAccounts(o.data)
	if err != nil {
		return err
	}
	api := newAPI(base, o.tokenFile)
	hook := &webhook{
		api: api, accounts: accounts, now: time.Now, logger: logger,
		keys: &discovery{issuer: base.String(), audience: o.audience, client: api.client, now: time.Now},
	}
	s := &site{api: api, accounts: accounts, webhook: hook, sessions: newSessions(time.Now), now: time.Now, logger: logger}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w: set --listen to a free address", err)
	}
	if o.publicURL == "" {
		o.publicURL = "http://" + l.Addr().String()
	}
	s.secure = strings.HasPrefix(o.publicURL, "https://")
	server := newServer(s.handler(), logger)
	logger.Info("serving", "url", o.publicURL)
	go hook.catchUp(ctx)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	return server.Shutdown(stop)
}

func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
