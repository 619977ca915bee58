package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// curl knows the options of the story: -s, -S, -i, -I, -L, -o, -r, -d, -H, -b, -c
// and -w '%{url_effective}'. Its file of cookies is its own, and all that it keeps of
// a cookie is what it is sent back by.
func curl(args []string) error {
	req, err := http.NewRequest(http.MethodGet, "", nil)
	if err != nil {
		return err
	}
	headers, out, jar, form := false, os.Stdout, "", []string{}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var tell func(*http.Response)
	for i := 0; i < len(args); i++ {
		value := ""
		if slices.Contains([]string{"-r", "-o", "-d", "-H", "-b", "-c", "-w"}, args[i]) && i+1 < len(args) {
			value = args[i+1]
		}
		switch arg := args[i]; {
		case value == "" && strings.HasPrefix(arg, "-") && strings.Trim(arg, "-sSiIL") == "":
			headers = headers || strings.ContainsAny(arg, "iI")
			if strings.Contains(arg, "I") {
				req.Method = http.MethodHead
			}
			if strings.Contains(arg, "L") {
				client.CheckRedirect = nil
			}
			continue
		case strings.HasPrefix(arg, "http://"):
			if req.URL, err = req.URL.Parse(arg); err != nil {
				return err
			}
			continue
		case arg == "-r":
			req.Header.Set("Range", "bytes="+value)
		case arg == "-o":
			if out, err = os.Create(value); err != nil {
				return err
			}
			defer out.Close()
		case arg == "-d":
			form = append(form, value)
		case arg == "-H":
			name, text, _ := strings.Cut(value, ":")
			req.Header.Set(name, strings.TrimSpace(text))
		case arg == "-b" || arg == "-c":
			jar = value
		case arg == "-w" && value == "%{url_effective}":
			tell = func(res *http.Response) { fmt.Print(res.Request.URL) }
		default:
			return fmt.Errorf("the stand-in for curl does not know %q", arg)
		}
		i++
	}
	if len(form) > 0 {
		text := strings.Join(form, "&")
		req.Method, req.Body, req.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(text)), int64(len(text))
		if req.Header.Get("Content-Type") == "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if jar != "" {
		client.Jar = cookieFile(jar)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var head bytes.Buffer
	if headers {
		fmt.Fprintf(&head, "%s %s\r\n", res.Proto, res.Status)
		if err := res.Header.Write(&head); err != nil {
			return err
		}
		head.WriteString("\r\n")
	}
	_, err = io.Copy(out, io.MultiReader(&head, res.Body))
	if err == nil && tell != nil {
		tell(res)
	}
	return err
}

// cookieFile is a file with the cookies of one site.
type cookieFile string

// SetCookies adds cookies.
func (f cookieFile) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	kept, err := f.read()
	if err == nil {
		var text []byte
		if text, err = json.Marshal(append(kept, cookies...)); err == nil {
			err = os.WriteFile(string(f), text, 0o600)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
	}
}

// Cookies returns the latest cookie of each name for a path.
func (f cookieFile) Cookies(u *url.URL) []*http.Cookie {
	kept, err := f.read()
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
	}
	byName := map[string]*http.Cookie{}
	for _, c := range kept {
		if u.Path == c.Path || strings.HasPrefix(u.Path, c.Path+"/") {
			byName[c.Name] = c
		}
	}
	var cookies []*http.Cookie
	for _, c := range byName {
		cookies = append(cookies, c)
	}
	return cookies
}

func (f cookieFile) read() (kept []*http.Cookie, err error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	return kept, err
}
