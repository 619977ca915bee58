module github.com/license-operator/license-operator/test/saasclient/client

go 1.26.0

require github.com/Azure/azure-sdk-for-go/sdk/azcore v1.21.0

require (
	github.com/Azure/azure-sdk-for-go/sdk/internal v1.11.2 // indirect
	golang.org/x/net v0.49.0 // indirect
	golang.org/x/text v0.33.0 // indirect
)
