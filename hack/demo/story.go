package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

// story shows the operator from outside, chapter by chapter. What it shows is
// the output of kubectl and curl; what it checks it reads with a client.
type story struct {
	cluster *controlplane.ControlPlane
	at      services
	client  client.Client
	admin   *person
	ada     *person // installs software at contoso, and sets services up
	mia     *person // works there, and buys herself
	tom     *person // works there, too
	kim     *person // administers what contoso has
	gail    *person // of Northwind, a partner, who placed contoso's order
	hal     *person // of Northwind, too
	mails   bool    // it was told where mails are
}

func newStory(cluster *controlplane.ControlPlane, at services) (*story, error) {
	c, err := newClient(cluster.Config)
	if err != nil {
		return nil, err
	}
	s := &story{cluster: cluster, at: at, client: c, admin: &person{prompt: "$ ", kubeconfig: cluster.Kubeconfig}}
	s.ada, err = s.person("ada")
	return s, err
}

// newClient makes a client that knows our kinds.
func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return c, nil
}

// person makes somebody who has a folder and may do nothing yet.
func (s *story) person(name string) (*person, error) {
	return s.user(name, name)
}

// user is a person who has another name for the API server, and is in groups.
func (s *story) user(name, username string, groups ...string) (*person, error) {
	kubeconfig, err := s.cluster.UserKubeconfig(username, groups...)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.cluster.Dir, "home", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &person{prompt: name + "$ ", kubeconfig: kubeconfig, dir: dir}, nil
}

// tell tells the story and fails as soon as something is not as it should be.
func (s *story) tell(ctx context.Context) error {
	if names := missing(filepath.Join(s.cluster.Dir, "stand-ins")); len(names) > 0 {
		say("This machine has no " + strings.Join(names, ", no ") + ": below, this demo does the work in its place.")
		fmt.Println()
	}
	for i, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"Sell", s.sell},
		{"Read a key", s.readKey},
		{"Verify a key offline", s.verifyOffline},
		{"Download", s.download},
		{"Get a fresh link, and another version", s.chooseDownload},
		{"Install the 32-bit edition", s.deploymentTool},
		{"Move from KMS to MAK", s.migrate},
		{"Remote Desktop licences", s.remoteDesktop},
		{"Change the quantity in time", s.changeQuantity},
		{"Cancel in time", s.cancel},
		{"Too late", s.tooLate},
		{"Sell a publisher's service", s.sellService},
		{"Activate it on the publisher's site", s.activateService},
		{"Change a service, as far as the publisher lets it", s.changeService},
		{"Ask for a change on the publisher's site", s.changeThere},
		{"Suspend a service and reinstate it", s.suspendService},
		{"Cancel a service in time", s.cancelService},
		{"Charge for it", s.invoice},
		{"Sell to some customers only", s.offer},
		{"Let employees buy, as far as a policy does", s.selfServicePolicy},
		{"Buy and try as an employee", s.selfServicePurchase},
		{"See what employees bought", s.selfServiceView},
		{"Assign seats", s.assignSeats},
		{"Take over what an employee bought", s.takeOver},
		{"Cancel what an employee tries", s.cancelPurchase},
		{"Register as a partner", s.registerPartner},
		{"Work as a partner", s.workAsPartner},
		{"Remove a partner", s.removePartner},
		{"Who may do what", s.roles},
		{"Who may write the ledger, and read Secrets", s.guards},
		{"Notices", s.notices},
		{"Back up and restore", s.restore},
	} {
		fmt.Printf("## %d. %s\n", i+1, chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return fmt.Errorf("chapter %d, %s: %w", i+1, chapter.title, err)
		}
		fmt.Println()
	}
	fmt.Println("## What takes days")
	say("A clock cannot be turned here, so some of it is not shown: tests step one instead.",
		"  renewal with the same key, expiry      TestLifeOfATerm, TestExpires in controllers/",
		"  the end of a link                      TestLinkExpires in controllers/, TestWhichLinksWork in internal/downloads/",
		"  warnings ahead of each deadline        TestNoticesOfALife in controllers/",
		"  180 days after the last KMS activation TestMigration in controllers/",
		"  trials, renewal and end of services    TestLifeOfAService in internal/terms/",
		"  trials and renewals of employees       TestLifeOfATrial, TestLifeOfAPurchase in controllers/",
		"  attempts to register, a day later      TestAttempts in internal/terms/")
	return nil
}

// invite says how to go on by hand.
func (s *story) invite(ctx context.Context, processes []*process) error {
	link, err := quietly(ctx, s.admin, linkCommand("contoso", "office-key"))
	if err != nil {
		return err
	}
	landing, err := quietly(ctx, s.admin, landingCommand("contoso", "coffee-lyon-link"))
	if err != nil {
		return err
	}
	fmt.Println()
	say("The cluster keeps running, and Ctrl-C here stops it. To use it in another terminal")
	fmt.Println("export KUBECONFIG=" + s.cluster.Kubeconfig)
	fmt.Printf("export PATH=%s:$PATH # for kubectl\n", filepath.Dir(s.cluster.Kubectl()))
	for _, p := range processes {
		fmt.Println("tail -f " + p.log)
	}
	fmt.Println()
	say("A download page, to open in a browser on this machine. For others, read downloadURL from their Secrets")
	fmt.Println(link)
	fmt.Println()
	say("The publisher's site, with a purchase that waits to be set up. For others, read landingPageURL from their Secrets")
	fmt.Println(landing)
	return nil
}

func (s *story) subscription(ctx context.Context, namespace, name string) (*v1alpha1.SoftwareSubscription, error) {
	sub := &v1alpha1.SoftwareSubscription{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, sub); err != nil {
		return nil, fmt.Errorf("reading SoftwareSubscription %s/%s: %w", namespace, name, err)
	}
	return sub, nil
}

// told waits until a subscription says something, and shows it.
func (s *story) told(ctx context.Context, namespace, name string, state v1alpha1.SubscriptionState, words string) error {
	err := until(ctx, func(ctx context.Context) error {
		sub, err := s.subscription(ctx, namespace, name)
		if err != nil {
			return err
		}
		st := sub.Status
		if st.ObservedGeneration != sub.Generation || st.State != state || !strings.Contains(st.Message, words) {
			return fmt.Errorf("%s/%s does not say %q but is %s: %s", namespace, name, words, st.State, st.Message)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.expect(ctx, s.admin, fmt.Sprintf("kubectl -n %s get swsub %s", namespace, name), words)
}

// patch changes the spec of a subscription.
func patch(namespace, name, spec string) string {
	return fmt.Sprintf(`kubectl -n %s patch swsub %s --type=merge -p '{"spec":{%s}}'`, namespace, name, spec)
}

// change is patch, and waits until everything has settled.
func (s *story) change(ctx context.Context, namespace, name, spec string) error {
	if _, err := s.run(ctx, s.admin, patch(namespace, name, spec)); err != nil {
		return err
	}
	return settle(ctx, s.client)
}

// create is the command that makes an object out of YAML.
func create(yaml string) string {
	return "kubectl create -f - <<'EOF'\n" + strings.TrimSpace(yaml) + "\nEOF"
}
