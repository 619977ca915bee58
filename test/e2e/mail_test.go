package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/mailserver"
)

// TestMail sends a notice by a mail server that wants STARTTLS and a login, once,
// however often the operator is killed. The scan at the end looks for the
// password.
func TestMail(t *testing.T) {
	const password = "e2e-mail-password"
	server, err := mailserver.Start(t.TempDir(), password)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	issuedKeys[password] = true
	t.Setenv("LICENSE_OPERATOR_SMTP", server.URL)
	t.Setenv("SSL_CERT_FILE", server.Certificate)
	args := []string{"--serve=controllers", "--mail-from=Licences <licences@example.com>"}
	o := startOperator(t, kubeconfig, args...)
	p := newPublisher(t, "")
	sub := p.buy(5)
	sent := func() error {
		var all v1alpha1.NotificationList
		if err := live.List(t.Context(), &all, client.InNamespace(sub.Namespace)); err != nil {
			return err
		}
		if len(all.Items) != 1 || all.Items[0].Status.SentAt == nil {
			return fmt.Errorf("on record: %+v", all.Items)
		}
		return nil
	}
	eventually(t, "waiting for the mail to be sent", sent)
	for range 2 {
		o.kill()
		o = startOperator(t, kubeconfig, args...)
	}
	second := p.buy(7) // whose mail shows that the operator has looked at all
	eventually(t, "waiting for the second mail", func() error {
		if n := len(server.Mails()); n < 2 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	})
	mails := server.Mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails: %+v", len(mails), mails)
	}
	for i, name := range []string{sub.Name, second.Name} {
		m := mails[i]
		if m.To != "ada@contoso.example" || m.Header.Get("From") != `"Licences" <licences@example.com>` || m.Header.Get("Subject") != "A service was bought: set up the account" ||
			!strings.Contains(m.Plain, name) || !strings.Contains(m.HTML, name) {
			t.Errorf("%+v", m)
		}
	}
}
