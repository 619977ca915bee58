package marketplace

import (
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Connect returns the two clients of the API at base, such as
// https://marketplaceapi.microsoft.com/api, for the publisher that the
// credential proves. It says the two things that a publisher may say, and
// leaves everything else as the generator and its runtime have it: retries,
// time limits, headers, redirects.
func Connect(base string, credential azcore.TokenCredential) (*FulfillmentOperationsClient, *SubscriptionOperationsClient, error) {
	at, err := url.Parse(base)
	if err != nil {
		return nil, nil, err
	}
	// The runtime sends no credential over plain HTTP unless it is told to.
	bearer := runtime.NewBearerTokenPolicy(credential, []string{"20e940b3-4c77-4b0b-9a53-9e16a1b010a7/.default"},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: at.Scheme == "http"})
	connection, err := azcore.NewClient("fulfillment", "v2.0.0", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, nil)
	if err != nil {
		return nil, nil, err
	}
	return &FulfillmentOperationsClient{internal: connection, endpoint: base},
		&SubscriptionOperationsClient{internal: connection, endpoint: base}, nil
}
