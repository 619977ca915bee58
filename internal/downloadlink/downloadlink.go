// Package downloadlink makes and reads download links. A link ends with a
// token, and whoever has it can download: it is kept in the customer's Secret
// only, and everything else knows it by its hash.
package downloadlink

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	tokenBytes = 32
	// Path is what comes between the base of a link and its token.
	Path = "/d/"
)

// Strict, so that no two texts stand for the same bytes.
var encoding = base64.RawURLEncoding.Strict()

// NewToken returns 32 random bytes as 43 characters of base64url.
func NewToken() string {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails: the program would have stopped instead
	return encoding.EncodeToString(b)
}

// IsToken tells whether a text is one that NewToken can return.
func IsToken(s string) bool {
	if len(s) != encoding.EncodedLen(tokenBytes) || strings.ContainsAny(s, "\r\n") {
		return false // the decoder would skip line breaks
	}
	_, err := encoding.DecodeString(s)
	return err == nil
}

// TokenHash is the SHA-256 of the token's text in lower-case hexadecimal.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// URL is the link with a token, below the address that links begin with.
func URL(base, token string) string {
	return strings.TrimRight(base, "/") + Path + token
}

// Token returns the token that a link ends with. It is "" if there is none.
func Token(url string) string {
	i := strings.LastIndex(url, Path)
	if i < 0 || !IsToken(url[i+len(Path):]) {
		return ""
	}
	return url[i+len(Path):]
}
