package controlplane

import (
	"path/filepath"
	"strconv"
)

// serviceCIDR needs to be valid only: nothing routes it.
const serviceCIDR = "10.96.0.0/16"

func (c *ControlPlane) etcdArgs(url string) []string {
	f := c.pki.file
	// etcd insists on a peer URL and on a name for it in the member list. Its
	// only member has no peers, so any free port does and nobody dials it.
	const peer = "https://127.0.0.1:0"
	return []string{
		"--name=etcd",
		"--data-dir=" + filepath.Join(c.Dir, "etcd"),
		"--listen-client-urls=" + url,
		"--advertise-client-urls=" + url,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=etcd=" + peer,
		"--client-cert-auth",
		"--trusted-ca-file=" + f("etcd-ca.crt"),
		"--cert-file=" + f("etcd.crt"),
		"--key-file=" + f("etcd.key"),
		"--peer-client-cert-auth",
		"--peer-trusted-ca-file=" + f("etcd-ca.crt"),
		"--peer-cert-file=" + f("etcd.crt"),
		"--peer-key-file=" + f("etcd.key"),
		// Syncing dominates the time of every write on a slow disk, and guards
		// only against a crash of the machine, which this data, thrown away
		// after use, need not survive.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (c *ControlPlane) apiserverArgs(etcdURL string, port int) []string {
	f := c.pki.file
	return []string{
		"--etcd-servers=" + etcdURL,
		"--etcd-cafile=" + f("etcd-ca.crt"),
		"--etcd-certfile=" + f("etcd-client.crt"),
		"--etcd-keyfile=" + f("etcd-client.key"),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + f("kube-apiserver.crt"),
		"--tls-private-key-file=" + f("kube-apiserver.key"),
		"--client-ca-file=" + f("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + f("service-account.key"),
		"--service-account-signing-key-file=" + f("service-account.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		// The other reconcilers would publish the advertised address, and
		// refuse to because it is a loopback one.
		"--endpoint-reconciler-type=none",
		"--allow-privileged",
		"--profiling=false",
	}
}

func (c *ControlPlane) controllerManagerArgs(port int) []string {
	f := c.pki.file
	return []string{
		"--kubeconfig=" + c.controllerManagerKubeconfig(),
		"--authentication-kubeconfig=" + c.controllerManagerKubeconfig(),
		"--authorization-kubeconfig=" + c.controllerManagerKubeconfig(),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + f("kube-controller-manager.crt"),
		"--tls-private-key-file=" + f("kube-controller-manager.key"),
		"--root-ca-file=" + f("ca.crt"),
		"--service-account-private-key-file=" + f("service-account.key"),
		"--use-service-account-credentials",
		"--leader-elect=false",
		"--profiling=false",
		// The default is a system folder, which the manager creates if it may.
		"--flex-volume-plugin-dir=" + filepath.Join(c.Dir, "flexvolume"),
		// With the defaults the manager throttles itself for seconds while it
		// fetches a token for each of its controllers.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}
