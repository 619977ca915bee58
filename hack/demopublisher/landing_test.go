package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSetUp goes from the link to an account that works.
func TestSetUp(t *testing.T) {
	p := newPublisher(t)
	code, page := p.open(t, "/landing?token="+purchase)
	for _, words := range []string{"Set up Coffee Analytics", "Silver plan", "<dd>10</dd>", "Coffee in Paris", `value="ada@contoso.example"`, "Nothing is charged until you activate it"} {
		if code != 200 || !strings.Contains(page, words) {
			t.Errorf("the landing page answered %d and says nothing of %q", code, words)
		}
	}
	if p.market.activated != 0 {
		t.Error("opening the link has activated the subscription")
	}
	code, page = p.send(t, "/activate", url.Values{"company": {"Contoso"}, "email": {"it@contoso.example"}})
	if code != 200 || p.market.activated != 1 || !strings.Contains(page, "Active") || !strings.Contains(page, "3 April 2026, then it renews") || !strings.Contains(page, "Billing has begun") {
		t.Errorf("after the form: %d, %d activations, %s", code, p.market.activated, page)
	}
	if a := p.account(); a.Company != "Contoso" || a.AdminEmail != "it@contoso.example" || a.Status != statusSubscribed || a.Seats != 10 {
		t.Errorf("the account is %+v", a)
	}

	// Sent again, and opened again: the same account, and nothing twice.
	p.send(t, "/activate", url.Values{"company": {"Fabrikam"}, "email": {"it@fabrikam.example"}})
	code, page = p.open(t, "/landing?token="+purchase)
	if code != 200 || p.market.activated != 1 || strings.Contains(page, "Set up Coffee") || !strings.Contains(page, "<h1>Contoso</h1>") || strings.Count(page, "Billing has begun") != 1 {
		t.Errorf("opened again: %d, %d activations, %s", code, p.market.activated, page)
	}
}

// TestSecrets looks for tokens where they must not be.
func TestSecrets(t *testing.T) {
	p := newPublisher(t)
	p.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := p.browser.Get(p.URL + "/landing?token=" + purchase)
	if err != nil {
		t.Fatal(err)
	}
	if _, body := read(t, res); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/accounts/"+subID || strings.Contains(body, purchase) {
		t.Errorf("the landing page answered %s, to %q", res.Status, res.Header.Get("Location"))
	}
	if res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the address with the token may be passed on: %v", res.Header)
	}
	cookie := res.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/accounts/"+subID || cookie.Secure {
		t.Errorf("the cookie is %+v", cookie)
	}
	if p.site.secure = true; true {
		res, err := p.browser.Get(p.URL + "/landing?token=" + purchase)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); !res.Cookies()[0].Secure {
			t.Error("behind https the cookie is sent over http too")
		}
		p.site.secure = false
	}
	_, page := p.open(t, "/accounts/"+subID)
	p.market.mu.Lock()
	p.market.sub.Status = statusUnsubscribed
	p.market.mu.Unlock()
	p.open(t, "/landing?token=wrong-"+purchase)
	kept, err := os.ReadFile(filepath.Join(p.data, "accounts.json"))
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"page": page, "log": p.log.String(), "file": string(kept)} {
		for _, secret := range []string{purchase, bearer, cookie.Value} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s holds %q", where, secret)
			}
		}
	}
	if !strings.Contains(p.log.String(), "path=/landing") {
		t.Error("the log says nothing of the request")
	}
}

func TestLinksThatDoNotWork(t *testing.T) {
	for name, row := range map[string]struct {
		path, words string
		answer      int // of the market; 0: its own
		code        int
	}{
		"no token":                      {"/landing", "not whole", 0, 400},
		"an expired or malformed token": {"/landing?token=other", "works for 24 hours", 0, 400},
		"another publisher's product":   {"/landing?token=" + purchase, "another company", 403, 403},
		"the marketplace fails":         {"/landing?token=" + purchase, "cannot be reached", 500, 503},
		"the marketplace is busy":       {"/landing?token=" + purchase, "cannot be reached", 429, 503},
		"an account without a link":     {"/accounts/" + subID, "Open your link once more", 0, 403},
		"an account that is none":       {"/accounts/x", "Open your link once more", 0, 403},
		"another page":                  {"/admin", "nothing here", 0, 404},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t)
			if row.answer != 0 {
				p.market.instead = func(w http.ResponseWriter, _ *http.Request) bool { reply(w, row.answer, nil); return true }
			}
			if code, page := p.open(t, row.path); code != row.code || !strings.Contains(page, row.words) || !strings.Contains(page, "<html lang=") {
				t.Errorf("%d, want %d with %q: %s", code, row.code, row.words, page)
			}
		})
	}
}

func TestSessions(t *testing.T) {
	p := newPublisher(t)
	if code, _ := p.open(t, "/landing?token="+purchase); code != 200 {
		t.Fatalf("the landing page answered %d", code)
	}
	other, err := http.NewRequest(http.MethodGet, p.URL+"/accounts/"+otherID, nil)
	if err != nil {
		t.Fatal(err)
	}
	here, _ := url.Parse(p.URL + "/accounts/" + subID)
	other.AddCookie(p.browser.Jar.Cookies(here)[0])
	res, err := http.DefaultClient.Do(other)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := read(t, res); code != 403 {
		t.Errorf("a session for one account shows another: %d", code)
	}
	p.now = start.Add(sessionTime)
	if code, _ := p.open(t, "/accounts/"+subID); code != 403 {
		t.Errorf("a session lives on: %d", code)
	}
}

// TestForeignForms has another site send our form with the customer's cookie.
func TestForeignForms(t *testing.T) {
	for name, header := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		p := newPublisher(t)
		p.open(t, "/landing?token="+purchase)
		req, err := http.NewRequest(http.MethodPost, p.URL+"/accounts/"+subID+"/activate", strings.NewReader("company=Evil&email=e@evil.example"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set(name, header)
		res, err := p.browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := read(t, res); code != 403 || p.market.activated != 0 || p.account().Company != "" {
			t.Errorf("%s: %d, %d activations, account %+v", name, code, p.market.activated, p.account())
		}
	}
}

func TestForms(t *testing.T) {
	for name, row := range map[string]struct {
		form   url.Values
		words  []string
		answer int // of the market to the activation; 0: its own
		code   int
	}{
		"nothing filled in":             {nil, []string{`role="alert"`, `aria-invalid="true" aria-describedby="company-problem"`, "email-problem"}, 0, 422},
		"a name instead of an address":  {url.Values{"company": {"Contoso"}, "email": {"Ada"}}, []string{`value="Contoso"`, `value="Ada"`, "Enter an e-mail address"}, 0, 422},
		"an address with a name":        {url.Values{"company": {"Contoso"}, "email": {"Ada <ada@contoso.example>"}}, []string{"Enter an e-mail address"}, 0, 422},
		"a script for a company":        {url.Values{"company": {"<script>alert(1)</script>"}, "email": {""}}, []string{"&lt;script&gt;"}, 0, 422},
		"the marketplace refuses":       {url.Values{"company": {"Contoso"}, "email": {"a@b.example"}}, []string{"does not allow that", `value="Contoso"`}, 400, 422},
		"the marketplace is away":       {url.Values{"company": {"Contoso"}, "email": {"a@b.example"}}, []string{"cannot be reached", `value="Contoso"`}, 500, 503},
		"the purchase is none any more": {url.Values{"company": {"Contoso"}, "email": {"a@b.example"}}, []string{"does not know"}, 404, 409},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t)
			p.open(t, "/landing?token="+purchase)
			p.market.mu.Lock()
			p.market.instead = func(w http.ResponseWriter, r *http.Request) bool {
				if row.answer == 0 || !strings.HasSuffix(r.URL.Path, "/activate") {
					return false
				}
				reply(w, row.answer, nil)
				return true
			}
			p.market.mu.Unlock()
			code, page := p.send(t, "/activate", row.form)
			if code != row.code || p.market.activated != 0 || p.account().Status != statusPending {
				t.Errorf("%d, want %d; %d activations; account %+v", code, row.code, p.market.activated, p.account())
			}
			for _, words := range row.words {
				if !strings.Contains(page, words) {
					t.Errorf("the page says nothing of %q: %s", words, page)
				}
			}
		})
	}
}

// TestActivationInDoubt has the answer get lost after the activation.
func TestActivationInDoubt(t *testing.T) {
	p := newPublisher(t)
	p.open(t, "/landing?token="+purchase)
	p.market.mu.Lock()
	p.market.instead = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/activate") {
			return false
		}
		p.market.sub.Status = statusSubscribed
		p.market.activated++
		reply(w, 500, nil)
		return true
	}
	p.market.mu.Unlock()
	code, _ := p.send(t, "/activate", url.Values{"company": {"Contoso"}, "email": {"a@b.example"}})
	if code != 200 || p.market.activated != 1 || p.account().Status != statusSubscribed {
		t.Errorf("%d, %d activations, account %+v", code, p.market.activated, p.account())
	}
}
