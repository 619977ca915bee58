package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	// facts shows what a download page says, a fact on each line.
	facts = ` | sed -n '/<p>The link/s/<[^>]*>//gp;/<dt>/{s/<.dt>/: /;s/<[^>]*>//gp;}'`
	// words shows an answer's status and the words of its page.
	words = ` | sed -n '1p; /<h1>/,/<\/p>/s/<[^>]*>//gp'`
)

// officeFile is the file that contoso's subscription office is for.
const officeFile = "office/2021/fr-FR-x64.img"

func linkCommand(namespace, secret string) string {
	return fmt.Sprintf("kubectl -n %s get secret %s -o jsonpath='{.data.downloadURL}' | base64 -d", namespace, secret)
}

func getDownload(namespace, name string) string {
	return fmt.Sprintf(`kubectl -n %s get swsub %s -o jsonpath='{.status.download}{"\n"}'`, namespace, name)
}

// download is Ada's way from the Secret to the file.
func (s *story) download(ctx context.Context) error {
	say("The files are in a folder here, and elsewhere in a volume or a bucket. The operator has read them through")
	verified := `kubectl get product office-ltsc -o jsonpath='{.status.conditions[?(@.type=="ArtifactsVerified")].message}{"\n"}'`
	if err := s.expect(ctx, s.admin, verified, "6 files as the catalogue describes"); err != nil {
		return err
	}
	fmt.Println()
	say("The Secret holds a link, too. Its page says what it is for")
	link, err := s.officeLink(ctx)
	if err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, "curl -s $link"+facts, "5 days from the first download", "fr-FR", "2021"); err != nil {
		return err
	}
	fmt.Println()
	say("Mail and chat scanners open links. Neither that nor a HEAD of the file starts anything:",
		"status has no firstDownloadedAt, and knows the link by its hash only")
	if err := s.expect(ctx, s.ada, "curl -sI $link/file | grep -i -e ^HTTP -e ^Content-Length", "200", "5700000"); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.admin, getDownload("contoso", "office")); err != nil {
		return err
	}
	if err := s.checkDownload(ctx, link, false); err != nil {
		return err
	}
	fmt.Println()
	say("The first byte of the file does: from then on there are 5 days. The file is the one of the page")
	sum, err := fileSum(filepath.Join(artifactsDir(s.cluster), officeFile))
	if err != nil {
		return err
	}
	if _, err := s.run(ctx, s.ada, "curl -sS -o office.img $link/file"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, "sha256sum office.img", sum); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.admin, getDownload("contoso", "office")); err != nil {
		return err
	}
	if err := s.checkDownload(ctx, link, true); err != nil {
		return err
	}
	fmt.Println()
	say("A part of it, which is how a download that was interrupted goes on")
	return s.expect(ctx, s.ada, "curl -s -r 0-56 $link/file", strings.TrimSpace(artifactLine(officeFile)))
}

// officeLink sets Ada's link, and waits until the downloads service, which
// reads a file through before it is offered, has done so.
func (s *story) officeLink(ctx context.Context) (string, error) {
	link, err := s.set(ctx, s.ada, "link", linkCommand("contoso", "office-key"))
	if err != nil {
		return "", err
	}
	return link, until(ctx, func(ctx context.Context) error {
		page, err := quietly(ctx, s.ada, "curl -s "+link)
		if err == nil && !strings.Contains(page, "<form") {
			err = errors.New("the page of contoso/office offers no file")
		}
		return err
	})
}

// checkDownload checks that status is for a link, and whether its time runs.
func (s *story) checkDownload(ctx context.Context, link string, runs bool) error {
	sub, err := s.subscription(ctx, "contoso", "office")
	if err != nil {
		return err
	}
	d := sub.Status.Download
	if d == nil {
		return errors.New("contoso/office has no status.download")
	}
	hash := sha256.Sum256([]byte(link[strings.LastIndex(link, "/")+1:]))
	if d.TokenHash != hex.EncodeToString(hash[:]) {
		return errors.New("contoso/office has another link in status than in its Secret")
	}
	if !runs {
		if d.FirstDownloadedAt != nil || d.ExpiresAt != nil {
			return fmt.Errorf("the time of contoso/office to download runs, and should not: %+v", d)
		}
		return nil
	}
	if d.FirstDownloadedAt == nil || d.ExpiresAt == nil || d.ExpiresAt.Sub(d.FirstDownloadedAt.Time) != 5*24*time.Hour {
		return fmt.Errorf("contoso/office has no 5 days to download: %+v", d)
	}
	return nil
}

func fileSum(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// chooseDownload renews a link, and changes what it is for.
func (s *story) chooseDownload(ctx context.Context) error {
	say("A higher renewal gives a fresh link. The old one is not known any more, and says what to do")
	if err := s.change(ctx, "contoso", "office", `"download":{"renewal":1}`); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, "curl -si $link"+words, "404", "replaced by a newer one"); err != nil {
		return err
	}
	link, err := s.officeLink(ctx)
	if err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, "curl -s $link"+facts+" | grep link", "5 days from the first download"); err != nil {
		return err
	}
	if err := s.checkDownload(ctx, link, false); err != nil {
		return err
	}
	fmt.Println()
	say("Downgrade rights: the newest version, and the two before it")
	sum, err := fileSum(filepath.Join(artifactsDir(s.cluster), "office/2019/fr-FR-x64.img"))
	if err != nil {
		return err
	}
	if err := s.change(ctx, "contoso", "office", `"download":{"version":"2019"}`); err != nil {
		return err
	}
	if link, err = s.officeLink(ctx); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, "curl -s $link"+facts+" | grep -e ^Version -e ^SHA", "Version: 2019", sum); err != nil {
		return err
	}
	fmt.Println()
	say("2016 is too old, so nothing changes and the message says what there is. Then back to 2021")
	if _, err := s.run(ctx, s.admin, patch("contoso", "office", `"download":{"version":"2016"}`)); err != nil {
		return err
	}
	if err := s.told(ctx, "contoso", "office", v1alpha1.StateActive, "2024, 2021, 2019"); err != nil {
		return err
	}
	if err := s.checkDownload(ctx, link, false); err != nil {
		return err
	}
	return s.change(ctx, "contoso", "office", `"download":{"version":"2021"}`)
}
