package fulfillment

import (
	"context"
	"fmt"
	"net/http"
)

// The paths below BaseURL. The first is where OpenID Connect says it is.
const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/.well-known/jwks.json"
)

// discovered may be kept for this long by caches.
const discovered = "public, max-age=300"

// configuration says how to check the tokens that webhooks are called with.
// There is nothing to log in to, so it has the members that the API server's
// own has for service accounts.
type configuration struct {
	Issuer        string   `json:"issuer"`
	JWKSURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

func (s *Service) discovery(context.Context, *request) (*answer, error) {
	return &answer{code: http.StatusOK, header: map[string]string{"Cache-Control": discovered}, body: configuration{
		Issuer: s.BaseURL, JWKSURI: s.BaseURL + keysPath,
		ResponseTypes: []string{"id_token"}, SubjectTypes: []string{"public"}, Algorithms: []string{"RS256"},
	}}, nil
}

func (s *Service) keys(ctx context.Context, _ *request) (*answer, error) {
	keys, err := s.Keys.PublicKeys(ctx)
	if err != nil {
		return nil, away{fmt.Errorf("reading the public keys: %w", err)}
	}
	return &answer{code: http.StatusOK, body: keys, header: map[string]string{
		"Cache-Control": discovered, "Content-Type": "application/jwk-set+json",
	}}, nil
}
