package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// findBinaries returns the absolute folder of the binaries, having checked
// that each one needed is in it.
func findBinaries(o Options) (string, error) {
	bin := o.Bin
	if bin == "" {
		bin = os.Getenv("KUBEBUILDER_ASSETS")
	}
	if bin == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", fmt.Errorf("looking for the control plane's binaries: %w", err)
		}
		bin = filepath.Join(root, "bin", "k8s")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return "", fmt.Errorf("looking for the control plane's binaries: %w", err)
	}
	names := []string{"etcd", "kube-apiserver", "kubectl"}
	if o.ControllerManager {
		names = append(names, "kube-controller-manager")
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", fmt.Errorf("a binary of the control plane is missing, run `make controlplane`: %w", err)
		}
	}
	return bin, nil
}

// moduleRoot walks up from the current folder, which during a test is the
// folder of its package, to the one that holds go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod in the current folder or above")
		}
		dir = parent
	}
}
