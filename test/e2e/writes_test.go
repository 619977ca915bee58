package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// writeCounts reads the API server's own counters of the requests that write
// to objects of ours, Secrets, Roles and events: "POST licensekeys" and so on.
func writeCounts(ctx context.Context) (map[string]int, error) {
	c, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		return nil, err
	}
	raw, err := c.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	requests := families["apiserver_request_total"]
	if requests == nil {
		return nil, fmt.Errorf("no apiserver_request_total in the metrics")
	}
	counts := map[string]int{}
	for _, m := range requests.Metric {
		label := labels(m)
		if slices.Contains([]string{"GET", "LIST", "WATCH", "CONNECT"}, label["verb"]) {
			continue
		}
		if label["group"] != v1alpha1.GroupVersion.Group && !slices.Contains([]string{"secrets", "roles", "events"}, label["resource"]) {
			continue
		}
		name := label["verb"] + " " + label["resource"]
		if label["subresource"] != "" {
			name += "/" + label["subresource"]
		}
		counts[name] += int(m.GetCounter().GetValue())
	}
	return counts, nil
}

func labels(m *dto.Metric) map[string]string {
	all := map[string]string{}
	for _, l := range m.Label {
		all[l.GetName()] = l.GetValue()
	}
	return all
}

// since says what was written more than before.
func since(before, after map[string]int) map[string]int {
	diff := map[string]int{}
	for name, n := range after {
		if n -= before[name]; n != 0 {
			diff[name] = n
		}
	}
	return diff
}

// A subscription costs the API server three writes, and then none. Beside them
// the counts of an issuer and the Role of a namespace are written once a second
// at most, however many are bought.
func TestThreeWritesAndThenSilence(t *testing.T) {
	const buyers = 40
	s := newShop(t, buyers+10)
	startOperator(t, kubeconfig)
	s.issuerReady()
	count := func() map[string]int {
		t.Helper()
		counts, err := writeCounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return counts
	}
	// unchanged waits until nothing was written for a while.
	unchanged := func(d time.Duration) map[string]int {
		t.Helper()
		last, at := count(), time.Now()
		eventually(t, "waiting for silence", func() error {
			if now := count(); !maps.Equal(now, last) {
				last, at = now, time.Now()
			}
			if time.Since(at) < d {
				return fmt.Errorf("still writing")
			}
			return nil
		})
		return last
	}
	before, start := unchanged(3*time.Second), time.Now()
	for i := range buyers {
		s.buy(fmt.Sprintf("sub-%d", i))
	}
	for i := range buyers {
		s.settled(fmt.Sprintf("sub-%d", i), v1alpha1.StateActive)
	}
	after := unchanged(3 * time.Second)
	got := since(before, after)
	most := int(time.Since(start)/time.Second) + 1
	counting, listing := got["PATCH keyissuers/status"], got["POST roles"]+got["PUT roles"]
	maps.DeleteFunc(got, func(what string, _ int) bool {
		return slices.Contains([]string{"PATCH keyissuers/status", "POST roles", "PUT roles"}, what)
	})
	want := map[string]int{
		"POST softwaresubscriptions":         buyers, // by the buyer
		"POST licensekeys":                   buyers,
		"POST secrets":                       buyers,
		"PATCH softwaresubscriptions/status": buyers,
		"POST events":                        buyers, // after the others, to tell people
	}
	if !maps.Equal(got, want) {
		t.Errorf("writes %v, want %v", got, want)
	}
	if counting < 1 || counting > 15 {
		t.Errorf("%d updates of the issuer's counts", counting)
	}
	if listing < 1 || listing > most {
		t.Errorf("%d writes of the Role, at most %d are due", listing, most)
	}

	// The minute is what is promised, so a minute is what it takes.
	select {
	case <-time.After(time.Minute):
	case <-t.Context().Done():
	}
	if idle := since(after, count()); len(idle) > 0 {
		t.Errorf("written in an idle minute: %v", idle)
	}
	t.Log(strings.ReplaceAll(fmt.Sprint(got), "map", "writes"))
}
