package access

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What the policy on Secrets costs somebody whom it does not concern: the
// median time to create a Secret with the policy, divided by that without. The
// two take turns, so that what else the machine does hits both. On a busy machine
// the API server's own measure of the match condition says more.
//
//	go test ./test/access -run '^$' -bench OrdinarySecrets
func BenchmarkOrdinarySecrets(b *testing.B) {
	const rounds, perRound = 10, 200
	ctx := b.Context()
	if err := live.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}); err != nil {
		b.Fatal(err)
	}
	config := user("ordinary")
	ordinary, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := cluster.Run(ctx, "-n", "bench", "create", "rolebinding", "ordinary", "--clusterrole=edit", "--user=ordinary"); err != nil {
		b.Fatal(err)
	}
	fresh := func() *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", GenerateName: "s-"}, StringData: map[string]string{"key": "value"}}
	}
	if err := poll(ctx, func() error { return ordinary.Create(ctx, fresh()) }); err != nil {
		b.Fatal(err)
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	if err := live.Get(ctx, client.ObjectKey{Name: "license-operator-secrets"}, binding); err != nil {
		b.Fatal(err)
	}
	binding.ResourceVersion, binding.UID = "", ""
	took := map[bool][]time.Duration{}
	for round := range 2 * rounds {
		with := round%2 == 0
		if with && round > 0 {
			binding.ResourceVersion = ""
			err = live.Create(ctx, binding)
		} else if !with {
			err = live.Delete(ctx, binding.DeepCopy())
		}
		if err == nil {
			err = policiesLoaded(ctx)
		}
		if err != nil {
			b.Fatal(err)
		}
		for range perRound {
			start := time.Now()
			if err := ordinary.Create(ctx, fresh()); err != nil {
				b.Fatal(err)
			}
			took[with] = append(took[with], time.Since(start))
		}
	}
	binding.ResourceVersion = ""
	if err := live.Create(ctx, binding); err != nil {
		b.Fatal(err)
	}
	median := func(with bool) float64 {
		slices.Sort(took[with])
		return float64(took[with][len(took[with])/2].Microseconds())
	}
	b.ReportMetric(median(true), "with-µs")
	b.ReportMetric(median(false), "without-µs")
	b.ReportMetric(median(true)/median(false), "ratio")
	b.ReportMetric(meanOfCondition(b), "condition-µs")
	b.ReportMetric(0, "ns/op")
}

// meanOfCondition is the mean time in microseconds that the API server took for
// the match condition, by its own metrics.
func meanOfCondition(b *testing.B) float64 {
	metrics, err := cluster.Run(b.Context(), "get", "--raw", "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	value := func(of string) (v float64) {
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, "apiserver_admission_match_condition_evaluation_seconds_"+of+"{") && strings.Contains(line, `name="license-operator-secrets",operation="CREATE"`) {
				if _, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &v); err != nil {
					b.Fatal(err)
				}
			}
		}
		return v
	}
	return value("sum") / value("count") * 1e6
}
