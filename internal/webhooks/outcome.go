package webhooks

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// judge says what an answer means.
func judge(resp *http.Response, refusable bool, now time.Time) Outcome {
	code := resp.StatusCode
	text := fmt.Sprintf("the webhook answered %d", code)
	switch {
	case code >= 200 && code <= 299:
		return Outcome{Result: Taken}
	case code >= 300 && code <= 399:
		return Outcome{Result: Failed, Text: text + ", and redirects are not followed"}
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return Outcome{Result: Later, Text: text, After: retryAfter(resp.Header.Get("Retry-After"), now)}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusUnauthorized:
		// They say nothing of the operation. The publisher may not have our keys yet.
		return Outcome{Result: Failed, Text: text}
	case code >= 400 && code <= 499 && refusable:
		return Outcome{Result: Refused, Text: text}
	}
	return Outcome{Result: Failed, Text: text}
}

// retryAfter reads a header: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	seconds, err := strconv.ParseUint(header, 10, 31)
	wait := time.Duration(seconds) * time.Second
	if err != nil {
		at, err := http.ParseTime(header)
		if err != nil {
			return 0
		}
		wait = at.Sub(now)
	}
	return min(max(wait, LeastWait), LongestWait)
}
