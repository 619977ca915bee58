// Package saasclient runs a publisher's client of the SaaS fulfilment API
// against a service, so that what the service promises is judged by a program
// that was not written with it.
//
// The client is in the folder client, a module of its own. What speaks HTTP
// there is not ours: a generator for publishers' clients (AutoRest for Go)
// wrote it from a description of the API, and it runs on the HTTP pipeline of
// the Azure SDK for Go. It is told the base address and the credential, nothing
// else. The description, client/fulfillment.yaml, is written here from the
// documented wire facts; client/generate.sh writes the client anew.
package saasclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Client is one publisher's client of one service.
type Client struct {
	Program   string // as made by Build
	Base      string // of the API, up to and including /api
	TokenFile string // has the publisher's credential
	// Authorities is a PEM file of the certificates to trust; empty are those of the machine.
	Authorities string
}

// Refused is a service's refusal, as the client understood it.
type Refused struct {
	Status int    `json:"status"` // of HTTP
	Code   string `json:"code"`   // of the body, empty if there is none
}

func (r *Refused) Error() string {
	return fmt.Sprintf("refused with status %d, code %q", r.Status, r.Code)
}

const refused = 3 // exit code of the program

// Build compiles the client into a folder and returns the program's path.
func Build(dir string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	program := filepath.Join(dir, "publisher")
	build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	build.Dir = filepath.Join(filepath.Dir(here), "client")
	// A module of its own, whatever workspace the caller is in.
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the client: %w: %s", err, out)
	}
	return program, nil
}

// call makes one call and reads into answer, which may be nil, what the client
// made of the service's answer. It returns a *Refused if the service refused.
func (c *Client) call(ctx context.Context, answer any, arguments ...string) error {
	run := exec.CommandContext(ctx, c.Program, append([]string{"-base", c.Base, "-token-file", c.TokenFile}, arguments...)...)
	run.Env = []string{"SSL_CERT_FILE=" + c.Authorities, "SSL_CERT_DIR=/dev/null"}
	if c.Authorities == "" {
		run.Env = nil
	}
	var failed *exec.ExitError
	out, err := run.Output()
	switch {
	case errors.As(err, &failed) && failed.ExitCode() == refused:
		no := new(Refused)
		if err := json.Unmarshal(out, no); err != nil {
			return err
		}
		return no
	case errors.As(err, &failed):
		return fmt.Errorf("the client failed at %s: %s", arguments[0], bytes.TrimSpace(failed.Stderr))
	case err != nil:
		return err
	case answer == nil:
		return nil
	}
	return json.Unmarshal(out, answer)
}

// Resolve exchanges the token of a landing page's address.
func (c *Client) Resolve(ctx context.Context, token string) (r Resolved, err error) {
	return r, c.call(ctx, &r, "resolve", token)
}

// Activate says that the service is ready. A quantity of 0 is left out.
func (c *Client) Activate(ctx context.Context, id, plan string, quantity int64) error {
	return c.call(ctx, nil, "activate", id, body(map[string]any{"planId": plan, "quantity": quantity}))
}

// Get reads a subscription.
func (c *Client) Get(ctx context.Context, id string) (s Subscription, err error) {
	return s, c.call(ctx, &s, "get", id)
}

// List reads every page of the publisher's subscriptions.
func (c *Client) List(ctx context.Context) (all []Subscription, err error) {
	return all, c.call(ctx, &all, "list")
}

// Plans reads the plans that a subscription can change to, and its own.
func (c *Client) Plans(ctx context.Context, id string) (plans []Plan, err error) {
	return plans, c.call(ctx, &plans, "plans", id)
}

// ChangePlan asks for another plan and returns the address of the operation.
func (c *Client) ChangePlan(ctx context.Context, id, plan string) (location string, err error) {
	return location, c.call(ctx, &location, "update", id, body(map[string]any{"planId": plan}))
}

// ChangeQuantity asks for another quantity and returns the address of the
// operation.
func (c *Client) ChangeQuantity(ctx context.Context, id string, quantity int64) (location string, err error) {
	return location, c.call(ctx, &location, "update", id, body(map[string]any{"quantity": quantity}))
}

// Delete ends a subscription and returns the address of the operation.
func (c *Client) Delete(ctx context.Context, id string) (location string, err error) {
	return location, c.call(ctx, &location, "delete", id)
}

// Operations lists what waits for the publisher.
func (c *Client) Operations(ctx context.Context, id string) (pending []Operation, err error) {
	return pending, c.call(ctx, &pending, "operations", id)
}

// Operation reads one.
func (c *Client) Operation(ctx context.Context, id, operation string) (o Operation, err error) {
	return o, c.call(ctx, &o, "operation", id, operation)
}

// Answer accepts an operation with Success, or refuses it with Failure.
func (c *Client) Answer(ctx context.Context, id string, o *Operation, status string) error {
	return c.call(ctx, nil, "answer", id, o.ID, body(map[string]any{"planId": o.PlanID, "quantity": o.Quantity, "status": status}))
}

// body is the JSON of the fields that are not zero.
func body(fields map[string]any) string {
	for name, value := range fields {
		if value == int64(0) || value == "" {
			delete(fields, name)
		}
	}
	text, _ := json.Marshal(fields)
	return string(text)
}
