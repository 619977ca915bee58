package saasclient

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const (
	id = "11111111-2222-4333-8444-555555555555"
	op = "66666666-7777-4888-9999-aaaaaaaaaaaa"
)

// sent is what arrived at the service.
type sent struct {
	Method, Address, ContentType, Marketplace, Authorization, Body string
}

// TestWhatTheClientSends shows that the program is the client that the API
// describes, and not more lenient: what it sends, and which status alone it
// takes for success.
func TestWhatTheClientSends(t *testing.T) {
	const json200 = `{"id":"` + id + `","planId":"gold","quantity":3,"saasSubscriptionStatus":"Subscribed","plans":[{"planId":"gold"}],"operations":[{"id":"` + op + `","status":"InProgress"}]}`
	location := map[string]string{"Operation-Location": "https://elsewhere.example/operations/" + op}
	rows := map[string]struct {
		call   func(*Client) (any, error)
		status int // the documented one of success
		header map[string]string
		body   string
		want   sent
		answer any
	}{
		"resolve has the token in a header and no body": {
			func(c *Client) (any, error) { r, err := c.Resolve(t.Context(), "ab+cd/ef"); return r.ID, err },
			200, nil, json200, sent{"POST", "/api/saas/subscriptions/resolve?api-version=2018-08-31", "", "ab+cd/ef", "", ""}, id,
		},
		"activate says the plan and the quantity": {
			func(c *Client) (any, error) { return nil, c.Activate(t.Context(), id, "gold", 3) },
			200, nil, "", sent{"POST", "/api/saas/subscriptions/" + id + "/activate?api-version=2018-08-31", "application/json", "", "", `{"planId":"gold","quantity":3}`}, nil,
		},
		"get": {
			func(c *Client) (any, error) { s, err := c.Get(t.Context(), id); return s.Status, err },
			200, nil, json200, sent{"GET", "/api/saas/subscriptions/" + id + "?api-version=2018-08-31", "", "", "", ""}, "Subscribed",
		},
		"the list's address ends in a slash": {
			func(c *Client) (any, error) { all, err := c.List(t.Context()); return len(all), err },
			200, nil, `{"subscriptions":[{},{}]}`, sent{"GET", "/api/saas/subscriptions/?api-version=2018-08-31", "", "", "", ""}, 2,
		},
		"plans": {
			func(c *Client) (any, error) { plans, err := c.Plans(t.Context(), id); return len(plans), err },
			200, nil, json200, sent{"GET", "/api/saas/subscriptions/" + id + "/listAvailablePlans?api-version=2018-08-31", "", "", "", ""}, 1,
		},
		"another plan comes without a quantity": {
			func(c *Client) (any, error) { return c.ChangePlan(t.Context(), id, "gold") },
			202, location, "", sent{"PATCH", "/api/saas/subscriptions/" + id + "?api-version=2018-08-31", "application/json", "", "", `{"planId":"gold"}`}, location["Operation-Location"],
		},
		"another quantity comes without a plan": {
			func(c *Client) (any, error) { return c.ChangeQuantity(t.Context(), id, 4) },
			202, location, "", sent{"PATCH", "/api/saas/subscriptions/" + id + "?api-version=2018-08-31", "application/json", "", "", `{"quantity":4}`}, location["Operation-Location"],
		},
		"delete": {
			func(c *Client) (any, error) { return c.Delete(t.Context(), id) },
			202, location, "", sent{"DELETE", "/api/saas/subscriptions/" + id + "?api-version=2018-08-31", "", "", "", ""}, location["Operation-Location"],
		},
		"operations": {
			func(c *Client) (any, error) { all, err := c.Operations(t.Context(), id); return len(all), err },
			200, nil, json200, sent{"GET", "/api/saas/subscriptions/" + id + "/operations?api-version=2018-08-31", "", "", "", ""}, 1,
		},
		"an operation": {
			func(c *Client) (any, error) { o, err := c.Operation(t.Context(), id, op); return o.ID, err },
			200, nil, `{"id":"` + op + `"}`, sent{"GET", "/api/saas/subscriptions/" + id + "/operations/" + op + "?api-version=2018-08-31", "", "", "", ""}, op,
		},
		"an answer repeats the plan and the quantity": {
			func(c *Client) (any, error) {
				return nil, c.Answer(t.Context(), id, &Operation{ID: op, PlanID: "gold", Quantity: 4}, "Success")
			},
			200, nil, "", sent{"PATCH", "/api/saas/subscriptions/" + id + "/operations/" + op + "?api-version=2018-08-31", "application/json", "", "", `{"planId":"gold","quantity":4,"status":"Success"}`}, nil,
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			status, arrived := row.status, []sent{}
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				arrived = append(arrived, sent{
					r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"),
					r.Header.Get("X-Ms-Marketplace-Token"), r.Header.Get("Authorization"), string(body),
				})
				for name, value := range row.header {
					w.Header().Set(name, value)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, row.body)
			})
			row.want.Authorization = "Bearer secret"
			got, err := row.call(c)
			if err != nil || !reflect.DeepEqual(got, row.answer) {
				t.Errorf("the client made %v, %v of the answer, not %v", got, err, row.answer)
			}
			if !reflect.DeepEqual(arrived, []sent{row.want}) {
				t.Errorf("the client sent\n%+v, not\n%+v", arrived, row.want)
			}
			for _, status = range []int{200, 201, 202, 204} {
				if _, err := row.call(c); (err == nil) != (status == row.status) {
					t.Errorf("with status %d: %v", status, err)
				}
			}
		})
	}
}

func TestRefusalsAndPages(t *testing.T) {
	t.Run("a refusal arrives with its code", func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error":{"code":"Stale","message":"a newer update is done"}}`)
		})
		want := &Refused{http.StatusConflict, "Stale"}
		if _, err := c.Delete(t.Context(), id); !reflect.DeepEqual(err, error(want)) {
			t.Errorf("got %v, not %v", err, want)
		}
	})
	t.Run("a page's link is followed, its query in another order", func(t *testing.T) {
		var addresses []string
		var base string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			addresses = append(addresses, r.URL.RequestURI())
			page := map[string]any{"subscriptions": []any{map[string]any{"id": id}}}
			if len(addresses) == 1 {
				page["@nextLink"] = base + "/saas/subscriptions?continuationToken=a%2Bb&api-version=2018-08-31"
			}
			_ = json.NewEncoder(w).Encode(page)
		})
		base = c.Base
		all, err := c.List(t.Context())
		want := []string{"/api/saas/subscriptions/?api-version=2018-08-31", "/api/saas/subscriptions?api-version=2018-08-31&continuationToken=a%2Bb"}
		if err != nil || len(all) != 2 || !reflect.DeepEqual(addresses, want) {
			t.Errorf("%d subscriptions, %v, from %v", len(all), err, addresses)
		}
	})
	t.Run("a body of another type is a failure", func(t *testing.T) {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"id":"`+id+`","quantity":"3"}`)
		})
		if s, err := c.Get(t.Context(), id); err == nil {
			t.Errorf("the client took a string for a number: %+v", s)
		}
	})
	t.Run("a service that is away for a moment is asked again", func(t *testing.T) {
		asked := 0
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked == 1 {
				w.Header().Set("Retry-After-Ms", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusOK)
		})
		if err := c.Activate(t.Context(), id, "gold", 0); err != nil || asked != 2 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
}

var program string // the client

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "saasclient-")
	if err == nil {
		program, err = Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// serve starts a service and returns a client of it that trusts only its
// certificate.
func serve(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewTLSServer(handle)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	c := &Client{
		Program: program, Base: server.URL + "/api",
		TokenFile: filepath.Join(dir, "token"), Authorities: filepath.Join(dir, "ca.pem"),
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for file, content := range map[string][]byte{c.Authorities: certificate, c.TokenFile: []byte("secret\n")} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
