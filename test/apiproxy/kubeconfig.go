package apiproxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes to path a kubeconfig for the user, namespace and context
// that are current in another one, but through the proxy. It fails if that
// user authenticates by a client certificate, which a proxy cannot pass on.
func (p *Proxy) Kubeconfig(path, fromKubeconfig string) error {
	config, err := clientcmd.LoadFromFile(fromKubeconfig)
	if err != nil {
		return fmt.Errorf("api proxy: %w", err)
	}
	if err := clientcmdapi.MinifyConfig(config); err != nil {
		return fmt.Errorf("api proxy: %s: %w", fromKubeconfig, err)
	}
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		return fmt.Errorf("api proxy: %s: %w", fromKubeconfig, err)
	}
	current := config.Contexts[config.CurrentContext]
	if auth := config.AuthInfos[current.AuthInfo]; auth != nil &&
		(auth.ClientCertificate != "" || len(auth.ClientCertificateData) > 0) {
		return fmt.Errorf("api proxy: %s: user %q authenticates by a client certificate, want a token",
			fromKubeconfig, current.AuthInfo)
	}
	config.Clusters[current.Cluster] = &clientcmdapi.Cluster{Server: p.URL, CertificateAuthorityData: p.ca}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("api proxy: %w", err)
	}
	return nil
}

// selfSigned returns a new certificate for 127.0.0.1 and, in PEM, the
// authority to verify it by, which is itself.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "api-proxy"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             time.Now().Add(-5 * time.Minute),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
