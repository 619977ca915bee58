package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

const (
	systemNamespace = "license-operator-system"
	// artifactLines is how often the line that the samples speak of is in each file.
	artifactLines = 100000
)

// install applies config/default without its Deployments, whose pods would
// wait for a node for ever.
func install(ctx context.Context, cluster *controlplane.ControlPlane) error {
	for _, part := range []string{"namespace", "crd", "rbac", "policy"} {
		if _, err := cluster.Run(ctx, "apply", "--server-side", "-k", filepath.Join("config", part)); err != nil {
			return fmt.Errorf("installing config/%s: %w", part, err)
		}
	}
	if _, err := cluster.Run(ctx, "wait", "--for=condition=Established", "--timeout=1m", "crd", "--all"); err != nil {
		return fmt.Errorf("waiting for the CRDs: %w", err)
	}
	return nil
}

// services is where what runs can be reached, on loopback.
type services struct {
	fulfillment, publisher, mail string // URLs
}

// startAll runs the operator as in a cluster, in three processes: the
// controllers, and the downloads and fulfilment services, which may read no
// Secret. A fourth is a publisher, who has no token yet, and a fifth is a mail
// server.
func startAll(ctx context.Context, cluster *controlplane.ControlPlane) (processes []*process, at services, err error) {
	addresses, err := freeAddresses(4)
	if err != nil {
		return nil, at, err
	}
	at = services{fulfillment: "http://" + addresses[1], publisher: "http://" + addresses[2], mail: "smtp://" + addresses[3]}
	store, fulfillment := "--artifacts=file://"+artifactsDir(cluster), "--fulfillment-url="+at.fulfillment
	for _, part := range []struct {
		what  string
		flags []string
	}{
		{"controllers", []string{store, "--downloads-url=http://" + addresses[0], fulfillment, "--smtp=" + at.mail, "--mail-from=" + mailFrom}},
		{"downloads", []string{store, "--downloads-listen=" + addresses[0]}},
		{"fulfillment", []string{"--fulfillment-listen=" + addresses[1], fulfillment}},
	} {
		p, err := start(ctx, cluster, part.what, part.flags...)
		if err != nil {
			return nil, at, stopAll(ctx, processes, err)
		}
		processes = append(processes, p)
	}
	p, err := startPublisher(cluster, addresses[2], at)
	if err != nil {
		return nil, at, stopAll(ctx, processes, err)
	}
	processes = append(processes, p)
	if p, err = startMailServer(cluster, addresses[3], at); err != nil {
		return nil, at, stopAll(ctx, processes, err)
	}
	return append(processes, p), at, nil
}

// startPublisher starts the demo publisher. It reads its token when it needs it,
// so that it can get one later.
func startPublisher(cluster *controlplane.ControlPlane, address string, at services) (*process, error) {
	dir := publisherDir(cluster)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(publisherBinary, "--listen="+address, "--fulfillment-url="+at.fulfillment, "--audience=fourth-coffee",
		"--token-file="+filepath.Join(dir, "token"), "--data="+dir)
	cmd.Env = []string{} // it knows nothing of the cluster
	return launch(cmd, "demo publisher", filepath.Join(cluster.Dir, "demopublisher.log"), at.publisher+"/healthz")
}

// mailFrom is who mails come from.
const mailFrom = "licences@contoso.example"

// startMailServer starts a mail server that keeps what it is given.
func startMailServer(cluster *controlplane.ControlPlane, address string, at services) (*process, error) {
	cmd := exec.Command(mailBinary, "--listen="+address, "--folder="+mailDir(cluster))
	cmd.Env = []string{}
	return launch(cmd, "mail server", filepath.Join(cluster.Dir, "demomail.log"), at.mail)
}

// mailDir has each mail in a file.
func mailDir(cluster *controlplane.ControlPlane) string {
	return filepath.Join(cluster.Dir, "mail")
}

// publisherDir is the demo publisher's own folder.
func publisherDir(cluster *controlplane.ControlPlane) string {
	return filepath.Join(cluster.Dir, "fourth-coffee")
}

func artifactsDir(cluster *controlplane.ControlPlane) string {
	return filepath.Join(cluster.Dir, "artifacts")
}

// writeArtifacts makes the files that the samples sell.
func writeArtifacts(cluster *controlplane.ControlPlane) error {
	samples, err := filepath.Glob("config/samples/product-*.yaml")
	if err != nil {
		return err
	}
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			return err
		}
		var product v1alpha1.Product
		if err := yaml.UnmarshalStrict(text, &product); err != nil {
			return fmt.Errorf("reading %s: %w", sample, err)
		}
		for _, version := range product.Versions() {
			for _, build := range version.Builds {
				if err := writeArtifact(artifactsDir(cluster), build.Artifact); err != nil {
					return fmt.Errorf("writing artifact %s: %w", build.Artifact, err)
				}
			}
		}
	}
	return nil
}

func writeArtifact(dir, artifact string) error {
	path := filepath.Join(dir, filepath.FromSlash(artifact))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Repeat(artifactLine(artifact), artifactLines)), 0o644)
}

func artifactLine(artifact string) string { return "license-operator demo artifact " + artifact + "\n" }
