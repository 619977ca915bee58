package main

import (
	"context"
	"fmt"
	"os"
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

// startBoth runs the operator as in a cluster, in two processes: the
// controllers, and the downloads service, which may read no Secret.
func startBoth(ctx context.Context, cluster *controlplane.ControlPlane) ([]*process, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	store := "--artifacts=file://" + artifactsDir(cluster)
	controllers, err := start(ctx, cluster, "controllers", store, "--downloads-url=http://"+addresses[0])
	if err != nil {
		return nil, err
	}
	downloads, err := start(ctx, cluster, "downloads", store, "--downloads-listen="+addresses[0])
	if err != nil {
		return nil, stopAll(ctx, []*process{controllers}, err)
	}
	return []*process{controllers, downloads}, nil
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
		for _, version := range product.Spec.Software.Versions {
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
