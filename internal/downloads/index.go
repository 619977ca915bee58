package downloads

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// IndexTokenHash is the index that Register adds to a cache of
// SoftwareSubscriptions. The API server selects by the same name.
const IndexTokenHash = "status.download.tokenHash"

// Register adds the indexes that a Service reads by.
func Register(ctx context.Context, indexer client.FieldIndexer) error {
	for name, index := range Indexes {
		if err := indexer.IndexField(ctx, &v1alpha1.SoftwareSubscription{}, name, index); err != nil {
			return fmt.Errorf("indexing subscriptions by %s: %w", name, err)
		}
	}
	return nil
}

// Indexes compute the values of the indexes.
var Indexes = map[string]client.IndexerFunc{
	IndexTokenHash: func(o client.Object) []string {
		d := o.(*v1alpha1.SoftwareSubscription).Status.Download
		if d == nil || d.TokenHash == "" {
			return nil
		}
		return []string{d.TokenHash}
	},
}
