package terms

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// How often somebody may try in vain to register for an agreement.
const (
	AttemptsAllowed = 5
	AttemptsTime    = day // from each attempt on
)

// Attempts are the instants at which somebody tried in vain to register.
type Attempts []time.Time

// Current are the attempts that count at an instant, the oldest first.
func (a Attempts) Current(now time.Time) Attempts {
	current := slices.DeleteFunc(slices.Clone(a), func(at time.Time) bool { return !now.Before(at.Add(AttemptsTime)) })
	slices.SortFunc(current, time.Time.Compare)
	return current
}

// Blocked is until when no further attempt may be made; zero: one may be made.
func (a Attempts) Blocked(now time.Time) time.Time {
	current := a.Current(now)
	if len(current) < AttemptsAllowed {
		return time.Time{}
	}
	return current[len(current)-AttemptsAllowed].Add(AttemptsTime)
}

// Gone is when none of the attempts counts any more; zero: there is none.
func (a Attempts) Gone() time.Time {
	if len(a) == 0 {
		return time.Time{}
	}
	return slices.MaxFunc(a, time.Time.Compare).Add(AttemptsTime)
}

// Requester is whose attempts count together: a user's own, and those of all
// service accounts of a namespace, because whoever makes one can make many.
func Requester(username string) string {
	if account, ok := strings.CutPrefix(username, "system:serviceaccount:"); ok {
		namespace, _, _ := strings.Cut(account, ":")
		return "system:serviceaccounts:" + namespace
	}
	return username
}

// Numbers are what proves that somebody manages an agreement: they are on the
// order.
type Numbers struct {
	Authorization string
	License       string
	Email         string // upper and lower case are the same
}

// Digest is the same for the same three, so that a look at one index finds an
// agreement or finds none, and takes as long whichever of them is wrong.
func (n Numbers) Digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", n.Authorization, n.License, strings.ToLower(n.Email)))
	return hex.EncodeToString(sum[:])
}

// SameOrder reports whether these are of the same order, whatever the mail
// address is: it may have been corrected since somebody was recognised by it.
func (n Numbers) SameOrder(other Numbers) bool {
	n.Email, other.Email = "", ""
	return subtle.ConstantTimeCompare([]byte(n.Digest()), []byte(other.Digest())) == 1
}

// PartnerSubject is who gets access.
type PartnerSubject struct {
	Kind string // User or Group
	Name string
}

// PartnerClaim is a registration that was recognised for an agreement of a
// customer.
type PartnerClaim struct {
	Subject    PartnerSubject
	Requester  string // the user who registered
	Namespace  string // that he registered from
	Name       string // of the registration
	Agreement  string // name
	Registered time.Time
}

func (c PartnerClaim) compare(other PartnerClaim) int {
	return cmp.Or(c.Registered.Compare(other.Registered), cmp.Compare(c.Namespace, other.Namespace), cmp.Compare(c.Name, other.Name), cmp.Compare(c.Agreement, other.Agreement))
}

// Removed reports whether the customer has removed who makes a claim: by the
// name of the subject, of the user who registered, or of the namespace that he
// registered from. Of service accounts it may also be all of a namespace.
func (c PartnerClaim) Removed(entries []string) bool {
	return c.Subject.Excluded(entries) || slices.Contains(entries, c.Requester) || slices.Contains(entries, Requester(c.Requester)) || slices.Contains(entries, c.Namespace)
}

// Excluded reports whether an entry of the customer names a partner himself, or
// all service accounts of the namespace of one.
func (s PartnerSubject) Excluded(entries []string) bool {
	return slices.Contains(entries, s.Name) || slices.Contains(entries, s.anyAccount())
}

// Entries are what keeps a partner away whose access the customer has taken: he
// himself, and who registered him, or could have himself registered in place of
// that. The other people of the namespace that they register from are not meant.
// Of service accounts it is all of a namespace, because whoever makes one can make
// many.
func (s PartnerSubject) Entries(claims []PartnerClaim) []string {
	all := []string{s.anyAccount()}
	for _, c := range claims {
		if entry := Requester(c.Requester); c.Subject == s && !slices.Contains(all, entry) {
			all = append(all, entry)
		}
	}
	slices.Sort(all[1:])
	return all
}

// anyAccount is the name of a partner, or of all service accounts of his
// namespace.
func (s PartnerSubject) anyAccount() string {
	if s.Kind == "User" {
		return Requester(s.Name)
	}
	return s.Name
}

// Partners are the claims by which partners have access to a customer, the oldest
// first, by subject. An entry in one agreement removes from all, because a role
// is for a whole namespace. A subject whom several claim keeps access as long as
// one of them is not removed, unless he is himself.
func Partners(claims []PartnerClaim, removed []string) map[PartnerSubject][]PartnerClaim {
	all := map[PartnerSubject][]PartnerClaim{}
	for _, c := range claims {
		if !c.Removed(removed) {
			all[c.Subject] = append(all[c.Subject], c)
		}
	}
	for _, of := range all {
		slices.SortFunc(of, PartnerClaim.compare)
	}
	return all
}

// PartnerStep is what is to be done next about the access of a partner.
type PartnerStep string

// What a PartnerStep can be. A binding is made empty, put on record, and only
// then filled. It is emptied, taken off the record, and only then deleted. So one
// that is on record and gone was deleted by somebody else, and not by a pass that
// was cut short, be the partner registered then or not.
const (
	StepDone    PartnerStep = ""
	StepReserve PartnerStep = "Reserve" // make a binding that names nobody, of the phase Reserved
	StepRecord  PartnerStep = "Record"  // put it on record, not as granted
	StepFill    PartnerStep = "Fill"    // have it name the partner, with the phase Given, in one write
	StepTell    PartnerStep = "Tell"    // put on record that access is granted
	StepExclude PartnerStep = "Exclude" // the customer has taken it away: note that, so that it stays away
	StepEnd     PartnerStep = "End"     // have it name nobody, with the phase Ended, in one write
	StepForget  PartnerStep = "Forget"  // take it off the record
	StepRevoke  PartnerStep = "Revoke"  // delete the binding
)

// BindingPhase says how far the operator has got with a binding. It is written on
// the binding together with the subjects, so that a binding that names nobody
// tells whether the operator emptied it, or has not filled it, or somebody else
// took the partner out.
type BindingPhase string

// What a BindingPhase can be.
const (
	BindingReserved BindingPhase = "Reserved"
	BindingGiven    BindingPhase = "Given"
	BindingEnded    BindingPhase = "Ended"
)

// PartnerBinding is what there is of the access of a partner.
type PartnerBinding struct {
	UID   string       // empty: there is none
	Names bool         // the partner
	Phase BindingPhase // another than those counts as Reserved
}

// PartnerRecord is what is on record of it.
type PartnerRecord struct {
	UID     string // of the binding; empty: nothing is
	Granted bool   // and not only reserved
}

// NextPartnerStep says what to do. wanted is whether the partner may have access.
// excluded is whether an entry of the customer names him, and not only who
// registered him or from where: else whoever is registered in another way would
// have the access that was taken away. A binding that names the partner and is
// another one than that on record was put there on purpose, by a restore for
// example.
func NextPartnerStep(wanted, excluded bool, record PartnerRecord, binding PartnerBinding) PartnerStep {
	wanted = wanted && binding.Phase != BindingEnded // who is wanted again gets another binding
	switch {
	case takenAway(record, binding) && !excluded:
		return StepExclude
	case wanted && record.UID == "" && binding.UID == "":
		return StepReserve
	case wanted && record.UID != binding.UID:
		return StepRecord
	case wanted && (!binding.Names || binding.Phase != BindingGiven):
		return StepFill
	case wanted && !record.Granted:
		return StepTell
	case wanted:
		return StepDone
	case binding.Names:
		return StepEnd
	case record.UID != "":
		return StepForget
	case binding.UID != "":
		return StepRevoke
	}
	return StepDone
}

// takenAway reports whether somebody else than the operator ended the access by
// the binding on record: he deleted it, or took the partner out.
func takenAway(record PartnerRecord, binding PartnerBinding) bool {
	switch {
	case record.UID == "" || binding.Names:
		return false
	case record.UID != binding.UID || binding.Phase == BindingGiven:
		return true
	}
	return record.Granted && binding.Phase != BindingEnded
}

// Notices about partners.
const (
	AdministratorsInvited Notice = "AdministratorsInvited" // to the customer, when there is an agreement
	PartnerAdded          Notice = "PartnerAdded"          // to the customer
	PartnerRemoved        Notice = "PartnerRemoved"        // in the customer's namespace
	AccessGranted         Notice = "PartnerAccessGranted"  // to the partner
	AccessEnded           Notice = "PartnerAccessEnded"    // to the partner
	NotRecognised         Notice = "PartnerNotRecognised"  // in the partner's namespace
	TooManyAttempts       Notice = "TooManyAttempts"       // in the partner's namespace
)
