package fulfillment

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// No label holds anything that a client can choose, of a publisher or of a
// customer.
var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "license_operator_fulfillment_requests_total",
		Help: "Requests to the fulfilment API by call and status code.",
	}, []string{"call", "code"})
	reviews = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "license_operator_fulfillment_token_reviews_total",
		Help: "Credentials that the API server was asked to review.",
	})
)

func init() {
	metrics.Registry.MustRegister(requests, reviews)
}
