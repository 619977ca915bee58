package downloads

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Counted are requests for something that has the shape of a link; handler is
// page or file. No label holds anything of a token or of a customer.
var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "license_operator_downloads_requests_total",
		Help: "Requests to download links by handler (page or file) and status code.",
	}, []string{"handler", "code"})
	bytesServed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "license_operator_downloads_bytes_total",
		Help: "Bytes of files that were sent.",
	})
	streaming = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "license_operator_downloads_streams",
		Help: "Downloads that are running.",
	})
)

func init() {
	metrics.Registry.MustRegister(requests, bytesServed, streaming)
}
