package controlplane

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLife is that of the token in a service account's kubeconfig.
const tokenLife = 12 * time.Hour

// ServiceAccountKubeconfig requests a token for an existing service account
// and returns the path of a kubeconfig that uses it. The token is valid for
// 12 hours. A second call replaces the file of the first.
func (c *ControlPlane) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) (string, error) {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return "", fmt.Errorf("kubeconfig of service account %s/%s: %w", namespace, name, err)
	}
	seconds := int64(tokenLife.Seconds())
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("kubeconfig of service account %s/%s: %w", namespace, name, err)
	}
	path := filepath.Join(c.Dir, "kubeconfigs", "serviceaccount-"+namespace+"-"+name)
	return path, c.writeKubeconfig(path, namespace, &clientcmdapi.AuthInfo{Token: token.Status.Token})
}

// UserKubeconfig returns the path of a kubeconfig that authenticates as a user
// in those groups by a client certificate, valid for a year. A second call for
// the same user replaces the file of the first.
func (c *ControlPlane) UserKubeconfig(user string, groups ...string) (string, error) {
	path := filepath.Join(c.Dir, "kubeconfigs", "user-"+url.PathEscape(user))
	return path, c.writeUser(path, user, groups...)
}

// writeAdmin sets Kubeconfig and Config to those of an administrator, and
// writes the controller manager's kubeconfig.
func (c *ControlPlane) writeAdmin() error {
	c.Kubeconfig = filepath.Join(c.Dir, "kubeconfig")
	if err := c.writeUser(c.Kubeconfig, "admin", "system:masters"); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	c.Config = config
	return c.writeUser(c.controllerManagerKubeconfig(), "system:kube-controller-manager")
}

func (c *ControlPlane) controllerManagerKubeconfig() string {
	return filepath.Join(c.Dir, "kubeconfigs", "kube-controller-manager")
}

func (c *ControlPlane) writeUser(path, user string, groups ...string) error {
	cert, key, err := c.pki.cluster.issue(clientTemplate(user, groups...))
	if err != nil {
		return fmt.Errorf("certificate of user %q: %w", user, err)
	}
	return c.writeKubeconfig(path, metav1.NamespaceDefault, &clientcmdapi.AuthInfo{
		ClientCertificateData: cert,
		ClientKeyData:         key,
	})
}

// writeKubeconfig writes one that refers to no other file, so that it can be
// copied elsewhere.
func (c *ControlPlane) writeKubeconfig(path, namespace string, auth *clientcmdapi.AuthInfo) error {
	const name = "controlplane"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.URL, CertificateAuthorityData: c.pki.cluster.pem}
	config.AuthInfos[name] = auth
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	config.CurrentContext = name
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeFile(path, text)
}
