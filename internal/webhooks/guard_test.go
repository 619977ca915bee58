package webhooks

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for kind, addresses := range map[string]string{
		"":            "8.8.8.8 1.1.1.1 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 169.253.255.255 198.17.255.255 198.20.0.0 223.255.255.255 192.0.1.0 11.0.0.0 2606:4700::1111 2a00::1 2001:200::1 2003::1 2620:fe::fe",
		"loopback":    "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1",
		"unspecified": "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0",
		"link-local":  "169.254.0.1 169.254.169.254 fe80::1 fe80::1%eth0 febf::1 ::ffff:169.254.169.254",
		"private":     "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 fc00::1 fdff::1 ::ffff:10.0.0.1 ::ffff:192.168.0.1 ::ffff:100.64.0.1",
		"multicast":   "224.0.0.1 239.255.255.255 ff02::1 ff0e::1 ::ffff:224.0.0.1",
		"reserved":    "192.0.0.8 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 2001:db8::1 2001:20::1 3fff::1 100::1 5f00::1 fec0::1 4000::1 e000::1 ::ffff:0:7f00:1",
		"translated":  "64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::a00:1 2002:7f00:1::1 2002:a00:1::1 2001:0:1::1 ::7f00:1 ::a00:1",
	} {
		for text := range strings.FieldsSeq(addresses) {
			err := check(netip.MustParseAddr(text))
			var refused *addressError
			if errors.As(err, &refused) != (kind != "") || refused != nil && refused.kind != kind {
				t.Errorf("%s: %v, want %q", text, err, kind)
			}
		}
	}
	if check(netip.Addr{}) == nil || guard("tcp", "rubbish", nil) == nil {
		t.Error("what is no address is let through")
	}
}

// TestPrivateAddresses calls webhooks at a real server on loopback under the
// names and addresses that lead there. Not one connection arrives.
func TestPrivateAddresses(t *testing.T) {
	s := newSite(t, true, nil)
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := ":" + at.Port()
	sender := trusting(s)
	sender.Resolver = names(t, map[string][]string{
		"loopback.test": {"127.0.0.1"}, "both.test": {"127.0.0.1", "::1"}, "six.test": {"::1"}, "mapped.test": {"::ffff:127.0.0.1"},
		"ten.test": {"10.0.0.1"}, "metadata.test": {"169.254.169.254"}, "any.test": {"0.0.0.0"}, "shared.test": {"100.64.0.1"},
		"nat64.test": {"64:ff9b::7f00:1"}, "many.test": {"127.0.0.1", "127.0.0.2", "10.0.0.1", "::1", "fd00::1"},
	})
	for _, host := range []string{
		"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "[fe80::1%25lo]", "localhost",
		"loopback.test", "both.test", "six.test", "mapped.test", "ten.test", "metadata.test", "any.test", "shared.test", "nat64.test", "many.test",
	} {
		c := call("https://" + host + port)
		c.Private = false
		if host == "localhost" {
			sender.Resolver = nil
		}
		if o := send(t, sender, c); o.Result != Failed || !strings.HasPrefix(o.Text, "the webhook is at a private address: ") {
			t.Errorf("%s: %+v", host, o)
		}
	}
	if n := s.connections.Load(); n > 0 {
		t.Errorf("%d connections arrived", n)
	}

	// The permission of one publisher is no way in for another.
	allowed := call("https://127.0.0.1" + port)
	if o := send(t, trusting(s), allowed); o.Result != Taken {
		t.Fatalf("with permission: %+v", o)
	}
	shared := trusting(s)
	send(t, shared, allowed)
	before := s.connections.Load()
	allowed.Private = false
	if o := send(t, shared, allowed); o.Result != Failed || s.connections.Load() != before {
		t.Errorf("without, a moment later: %+v", o)
	}
}

func TestNoTLSWithoutPermission(t *testing.T) {
	s := newSite(t, false, nil)
	c := call(s.URL)
	if o := send(t, trusting(s), c); o.Result != Taken {
		t.Errorf("with permission: %+v", o)
	}
	c.Private = false
	if o := send(t, trusting(s), c); o.Result != Failed || !strings.Contains(o.Text, "use https") || s.connections.Load() > 1 {
		t.Errorf("without: %+v", o)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	inside := newSite(t, false, nil)
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := newSite(t, true, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, code) })
		for _, refusable := range []bool{true, false} {
			c := call(s.URL)
			c.Refusable = refusable
			if o := send(t, trusting(s), c); o.Result != Failed || !strings.Contains(o.Text, "redirects are not followed") {
				t.Errorf("%d: %+v", code, o)
			}
		}
	}
	if n := inside.connections.Load(); n > 0 {
		t.Errorf("%d connections arrived", n)
	}
}

// TestNoProxy has the environment name a proxy. It would see the tokens, and
// nobody would check the addresses that it connects to.
func TestNoProxy(t *testing.T) {
	s := newSite(t, false, nil)
	sender := trusting(s)
	sender.Resolver = names(t, map[string][]string{"webhook.test": {"127.0.0.1"}})
	at, _ := url.Parse(s.URL)
	if o := send(t, sender, call("http://webhook.test:"+at.Port())); o.Result != Taken || proxied.Load() > 0 {
		t.Errorf("%+v, and the proxy was asked %d times", o, proxied.Load())
	}
}

func TestCutOff(t *testing.T) {
	s := newSite(t, true, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o, err := trusting(s).Send(ctx, call(s.URL), now); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := trusting(s).Send(t.Context(), Call{URL: "https://hunter2\x7f"}, now); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("what is no URL: %v", err)
	}
}
