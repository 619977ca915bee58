package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

const kindAgreement = "PartnerAgreement"

// announce tells what is new in the status of an agreement, by Events, and the
// customer by mail. Status is written afterwards: what could not be sent stays to
// be told. It waits for Events, and for no mail.
func (r *PartnerAccessReconciler) announce(ctx context.Context, s *realm, before, after *v1alpha1.PartnerAgreement, now time.Time) error {
	news := map[terms.Announcement]string{}
	if before.Status.ObservedGeneration < 0 && !s.reserved {
		news[terms.Announcement{Notice: terms.AdministratorsInvited, At: after.CreationTimestamp.UTC()}] = invitation(after)
	}
	for _, p := range s.partners {
		if hadSince(before, p) || !hadSince(after, p) {
			continue
		}
		// These instants are the same if status cannot be written, and all is told
		// again. It is told once.
		first := *claimFor(p.claims, after)
		at := latest(p.main.CreationTimestamp.UTC(), first.Registered.UTC())
		news[terms.Announcement{Notice: terms.PartnerAdded, At: at, Of: p.called() + " " + string(p.main.UID)}] = added(after, p, first)
	}
	for a, text := range news {
		if err := send(ctx, r.Client, after, kindAgreement, a, text, now); err != nil {
			return err
		}
		r.addUnsent(letter{about: after, kind: kindAgreement, to: after.Spec.CustomerEmail, Announcement: a, text: text})
	}
	r.mailUnsent(ctx, s)
	return nil
}

// hadSince reports whether an agreement tells that a partner has access by the
// RoleBinding that there is.
func hadSince(a *v1alpha1.PartnerAgreement, p *partnership) bool {
	n := slices.IndexFunc(a.Status.Partners, p.isOf)
	return n >= 0 && p.main != nil && a.Status.Partners[n].Since != nil && a.Status.Partners[n].RoleBinding.UID == p.main.UID
}

// tellRemoved tells by Events that partners are about to be taken off the record.
func (r *PartnerAccessReconciler) tellRemoved(ctx context.Context, s *realm, before, after *v1alpha1.PartnerAgreement) error {
	for _, entry := range before.Status.Partners {
		p := s.partnerOf(entry)
		if entry.Since == nil || slices.ContainsFunc(after.Status.Partners, p.isOf) {
			continue
		}
		a := terms.Announcement{Notice: terms.PartnerRemoved, At: entry.Since.UTC(), Of: p.called() + " " + string(entry.RoleBinding.UID)}
		if err := send(ctx, r.Client, before, kindAgreement, a, endedBecause(before, p), r.Clock.Now()); err != nil {
			return err
		}
	}
	return nil
}

// partnerOf is whom an entry of an agreement is of, also of one that is being
// deleted.
func (s *realm) partnerOf(entry v1alpha1.AgreementPartner) *partnership {
	if i := slices.IndexFunc(s.partners, func(p *partnership) bool { return p.isOf(entry) }); i >= 0 {
		return s.partners[i]
	}
	return &partnership{subject: terms.PartnerSubject{Kind: entry.Kind, Name: entry.Name}}
}

// addUnsent keeps a mail until it is on record.
func (r *PartnerAccessReconciler) addUnsent(l letter) {
	namespace := l.about.GetNamespace()
	stored, _ := r.unsent.Load(namespace)
	letters, _ := stored.([]letter)
	if !slices.ContainsFunc(letters, func(o letter) bool { return noticeName(o.about, o.Announcement) == noticeName(l.about, l.Announcement) }) {
		r.unsent.Store(namespace, append(slices.Clone(letters), l))
	}
}

// mailUnsent puts the mails of a namespace on record. It notes when to try again
// with those that cannot be.
func (r *PartnerAccessReconciler) mailUnsent(ctx context.Context, s *realm) {
	stored, _ := r.unsent.LoadAndDelete(s.namespace)
	letters, _ := stored.([]letter)
	var unsent []letter
	s.mailAt = time.Time{}
	for _, l := range letters {
		if again := r.Mail.send(ctx, l, r.Clock.Now()); !again.IsZero() {
			unsent, s.mailAt = append(unsent, l), terms.Earliest(s.mailAt, again)
		}
	}
	if len(unsent) > 0 {
		r.unsent.Store(s.namespace, unsent)
	}
}

// called is what people call a partner.
func (p *partnership) called() string { return p.subject.Kind + " " + p.subject.Name }

// invitation asks the customer for his administrators. Commands are on lines of
// their own in all these texts, so that they can be copied.
func invitation(a *v1alpha1.PartnerAgreement) string {
	if len(a.Spec.Administrators) > 0 {
		return fmt.Sprintf("spec.administrators of PartnerAgreement %s names who manages the licences of namespace %s, and reads the keys. Look whether they are the right ones:\nkubectl -n %s get partneragreement %s -o yaml\nWhoever is among them changes that with:\nkubectl -n %s edit partneragreement %s",
			a.Name, a.Namespace, a.Namespace, a.Name, a.Namespace, a.Name)
	}
	return fmt.Sprintf("nobody is named in spec.administrators of PartnerAgreement %s in namespace %s. Tell whoever runs the licence service who administers the licences and reads the keys, by the names that the cluster knows them by. Each sees his own with:\nkubectl auth whoami\nWhoever may change the agreement names them with:\nkubectl -n %s edit partneragreement %s",
		a.Name, a.Namespace, a.Namespace, a.Name)
}

// mostName is how much of a name is in a mail about a partner, in bytes. It
// leaves room for the first of the commands, whatever people are called.
const mostName = 240

// added tells the customer of a partner, and the ways to remove him. What has no
// room is left out as a whole: half a command is none.
func added(a *v1alpha1.PartnerAgreement, p *partnership, c terms.PartnerClaim) string {
	who := truncate(p.called(), mostName)
	if c.Requester != p.subject.Name {
		who += ", for whom " + truncate(c.Requester, mostName) + " has registered"
	}
	text := fmt.Sprintf("%s, registered from namespace %s, has the role %s in namespace %s. To end this access, delete the RoleBinding:\n%s",
		who, c.Namespace, partnerRole, a.Namespace, deleteCommand(p))
	everybody := fmt.Sprintf("%q to keep out everybody who registers from %s", c.Namespace, c.Namespace)
	for _, entries := range []string{yamlQuoted(p.subject.Name) + " to end this access, or " + everybody, everybody} {
		if more := "\nOr add to spec.removedPartners an entry " + entries + ":\n" + editCommand(a); len(text)+len(more) <= maxMessage {
			return text + more
		}
	}
	return text
}

// deleteCommand removes a partner.
func deleteCommand(p *partnership) string {
	return fmt.Sprintf("kubectl -n %s delete rolebinding %s", p.main.Namespace, p.main.Name)
}

// editCommand opens the list of who is removed, whatever is in it by then.
func editCommand(a *v1alpha1.PartnerAgreement) string {
	return fmt.Sprintf("kubectl -n %s edit partneragreement %s", a.Namespace, a.Name)
}

// yamlQuoted writes a name as it can stand in a list of YAML.
func yamlQuoted(s string) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // strings can always be written
	return strings.TrimSpace(text.String())
}

// endedBecause tells of a partner that he has access no longer, and why.
func endedBecause(a *v1alpha1.PartnerAgreement, p *partnership) string {
	switch {
	case len(p.claims) > 0:
		return fmt.Sprintf("%s has access by this agreement no longer, and still has it by another", p.called())
	case len(p.made) > 0:
		return fmt.Sprintf("%s has no access to namespace %s any more: the customer has removed this partner. To give it back take the entry out of spec.removedPartners", p.called(), a.Namespace)
	}
	return fmt.Sprintf("%s has no access to namespace %s any more: there is no registration for this agreement any more", p.called(), a.Namespace)
}
