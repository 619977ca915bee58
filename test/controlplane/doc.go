// Package controlplane runs a real Kubernetes control plane on the loopback
// interface: etcd, kube-apiserver and, on request, kube-controller-manager.
// There is no scheduler and no node, so pods stay Pending.
//
// It is meant for tests and for local development. Its data survives a Stop,
// but not a crash of the machine.
package controlplane
