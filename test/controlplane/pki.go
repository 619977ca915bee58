package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
)

// pki is the folder of keys and certificates of one cluster. Authorities and
// the key of the service accounts are made once, so that what they signed
// stays valid over a restart; the certificates of the processes are made anew
// at each start.
type pki struct {
	dir     string
	cluster *authority
	// etcd has an authority of its own: with a common one each user of the
	// API server could read and write etcd behind its back.
	etcd *authority
}

func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &pki{dir: dir}
	var err error
	if p.cluster, err = p.authority("ca"); err != nil {
		return nil, err
	}
	if p.etcd, err = p.authority("etcd-ca"); err != nil {
		return nil, err
	}
	if _, err = p.key("service-account.key"); err != nil {
		return nil, err
	}

	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	for _, leaf := range []struct {
		name string
		by   *authority
		tmpl *x509.Certificate
	}{
		{"etcd", p.etcd, &x509.Certificate{
			Subject:     pkix.Name{CommonName: "etcd"},
			IPAddresses: loopback,
			// Client too: etcd's own gateway dials its client port.
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}},
		{"etcd-client", p.etcd, clientTemplate("kube-apiserver")},
		{"kube-apiserver", p.cluster, &x509.Certificate{
			Subject:     pkix.Name{CommonName: "kube-apiserver"},
			IPAddresses: loopback,
			DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}},
		{"kube-controller-manager", p.cluster, &x509.Certificate{
			Subject:     pkix.Name{CommonName: "kube-controller-manager"},
			IPAddresses: loopback,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}},
	} {
		cert, key, err := leaf.by.issue(leaf.tmpl)
		if err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", leaf.name, err)
		}
		if err := writeFile(p.file(leaf.name+".key"), key); err != nil {
			return nil, err
		}
		if err := writeFile(p.file(leaf.name+".crt"), cert); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

func clientTemplate(user string, groups ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	pem  []byte // of cert
	key  *ecdsa.PrivateKey
}

// authority loads the authority of that name or, the first time, makes it.
func (p *pki) authority(name string) (*authority, error) {
	key, err := p.key(name + ".key")
	if err != nil {
		return nil, err
	}
	path := p.file(name + ".crt")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		tmpl := &x509.Certificate{
			Subject:               pkix.Name{CommonName: name},
			IsCA:                  true,
			BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
		if text, err = sign(tmpl, tmpl, key.Public(), key, authorityLife); err == nil {
			err = writeFile(path, text)
		}
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &authority{cert: cert, pem: text, key: key}, nil
}

// key loads the private key in the named file or, the first time, makes it.
func (p *pki) key(name string) (*ecdsa.PrivateKey, error) {
	path := p.file(name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, text, err := newKey()
		if err != nil {
			return nil, err
		}
		return key, writeFile(path, text)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", path)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue returns a new key and the certificate for it, both PEM.
func (a *authority) issue(tmpl *x509.Certificate) (cert, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	cert, err = sign(tmpl, a.cert, key.Public(), a.key, certificateLife)
	return cert, keyPEM, err
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, by *ecdsa.PrivateKey, life time.Duration) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	tmpl.SerialNumber = serial
	// Back-dated, for clocks that are set back a little.
	tmpl.NotBefore = time.Now().Add(-5 * time.Minute)
	tmpl.NotAfter = tmpl.NotBefore.Add(life)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// writeFile replaces a file, readable by its owner only, in one step: who
// waits for the file to appear never sees half of it, and a start that is
// killed leaves none that a later start stumbles over.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
