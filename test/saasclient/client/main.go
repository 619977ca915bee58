// Command client makes one call of the SaaS fulfilment API, as a publisher's
// program would, and prints what the client made of the answer:
//
//	client -base https://host/api -token-file FILE CALL [argument ...]
//
// On success it prints one JSON value and exits with 0. When the service
// refused, it prints {"status":…,"code":…} and exits with 3. Anything else,
// such as an answer that the client cannot read, is told on standard error and
// exits with 1. SSL_CERT_FILE names the certificates it trusts.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/license-operator/license-operator/test/saasclient/client/marketplace"
)

const refused = 3

func main() {
	base := flag.String("base", "", "where the API is, up to and including /api")
	token := flag.String("token-file", "", "file with the credential")
	flag.Parse()
	answer, err := run(context.Background(), *base, tokenFile(*token), flag.Args())
	var no *azcore.ResponseError
	switch {
	case errors.As(err, &no):
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"status": no.StatusCode, "code": no.ErrorCode})
		os.Exit(refused)
	case err != nil:
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}

// tokenFile is a credential that is read anew for each call, as a projected
// service account token has to be.
type tokenFile string

func (f tokenFile) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := os.ReadFile(string(f))
	return azcore.AccessToken{Token: string(bytes.TrimSpace(token)), ExpiresOn: time.Now().Add(time.Hour)}, err
}

func run(ctx context.Context, base string, credential azcore.TokenCredential, arguments []string) (any, error) {
	subscriptions, operations, err := marketplace.Connect(base, credential)
	if err != nil {
		return nil, err
	}
	calls := map[string]struct {
		arguments int
		call      func(a []string) (any, error)
	}{
		"resolve": {1, func(a []string) (any, error) {
			r, err := subscriptions.Resolve(ctx, a[0], nil)
			return r.ResolvedSubscription, err
		}},
		"activate": {2, func(a []string) (any, error) {
			var plan marketplace.SubscriberPlan
			if err := json.Unmarshal([]byte(a[1]), &plan); err != nil {
				return nil, err
			}
			_, err := subscriptions.ActivateSubscription(ctx, a[0], plan, nil)
			return struct{}{}, err
		}},
		"get": {1, func(a []string) (any, error) {
			r, err := subscriptions.GetSubscription(ctx, a[0], nil)
			return r.Subscription, err
		}},
		"list": {0, func([]string) (any, error) {
			all := []*marketplace.Subscription{}
			for pages := subscriptions.NewListSubscriptionsPager(nil); pages.More(); {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return nil, err
				}
				all = append(all, page.Subscriptions...)
			}
			return all, nil
		}},
		"plans": {1, func(a []string) (any, error) {
			r, err := subscriptions.ListAvailablePlans(ctx, a[0], nil)
			return r.Plans, err
		}},
		"update": {2, func(a []string) (any, error) {
			var plan marketplace.SubscriberPlan
			if err := json.Unmarshal([]byte(a[1]), &plan); err != nil {
				return nil, err
			}
			r, err := subscriptions.UpdateSubscription(ctx, a[0], plan, nil)
			return r.OperationLocationURI, err
		}},
		"delete": {1, func(a []string) (any, error) {
			r, err := subscriptions.DeleteSubscription(ctx, a[0], nil)
			return r.OperationLocationURI, err
		}},
		"operations": {1, func(a []string) (any, error) {
			r, err := operations.ListOperations(ctx, a[0], nil)
			return r.Operations, err
		}},
		"operation": {2, func(a []string) (any, error) {
			r, err := operations.GetOperationStatus(ctx, a[0], a[1], nil)
			return r.Operation, err
		}},
		"answer": {3, func(a []string) (any, error) {
			var answer marketplace.UpdateOperation
			if err := json.Unmarshal([]byte(a[2]), &answer); err != nil {
				return nil, err
			}
			_, err := operations.UpdateOperationStatus(ctx, a[0], a[1], answer, nil)
			return struct{}{}, err
		}},
	}
	if len(arguments) == 0 {
		return nil, errors.New("which call?")
	}
	chosen, known := calls[arguments[0]]
	if !known || len(arguments)-1 != chosen.arguments {
		return nil, fmt.Errorf("no call %q with %d arguments", arguments[0], len(arguments)-1)
	}
	return chosen.call(arguments[1:])
}
