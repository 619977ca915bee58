package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Run runs kubectl as the administrator and returns what it printed on its
// standard output. The error holds what it printed on the other one.
func (c *ControlPlane) Run(ctx context.Context, args ...string) (string, error) {
	return c.RunAs(ctx, c.Kubeconfig, args...)
}

// RunAs runs kubectl with a kubeconfig.
func (c *ControlPlane) RunAs(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.Kubectl(), args...)
	// kubectl remembers by address which kinds a server has, and another
	// cluster may have had this port.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+filepath.Join(c.Dir, "kubectl-cache"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
