package terms

import "time"

// How long a mail is tried to be sent, and how long it stays on record.
const (
	MailTime     = 5 * day // from when it was put on record
	MailKeptTime = 30 * day
)

// How long to wait after the start of an attempt to send a mail. It doubles from
// the first to the second. An attempt has to be over within the first.
const (
	leastMailPause   = time.Minute
	longestMailPause = time.Hour
)

// MailedNotices lists the notices that go to somebody by mail.
func MailedNotices() []Notice {
	return []Notice{
		ServicePurchased, ServiceActivated, ServiceChanged, ServiceRefused, ServiceSuspended, ServiceReinstated, ServiceEnded,
		ActivationLapsing, TrialEnding, SuspensionEnding, WindowClosing, TermEnding, Renewed,
		OrderPlaced, OrderEnded, OrderTaken, TrialTurnPaid,
		AdministratorsInvited, PartnerAdded, AccessGranted, AccessEnded,
	}
}

// Mail is what has become of a mail so far.
type Mail struct {
	Queued        time.Time // when it was put on record
	Attempts      int64     // to send it, also one that is going on
	Last          time.Time // when the latest of them began
	Sent          time.Time // when the mail server took it; zero: not yet
	Undeliverable bool      // and never will be
}

// Next is when to try to send it; an instant that is past: at once. A latest
// attempt that lies too far ahead was made by a clock that has been set back.
func (m Mail) Next(now time.Time) time.Time {
	if m.Attempts == 0 {
		return m.Queued
	}
	pause := m.pause()
	if m.Last.After(now.Add(pause)) {
		return now
	}
	return m.Last.Add(pause)
}

// pause is how long to wait from the start of the latest attempt.
func (m Mail) pause() time.Duration {
	pause := leastMailPause
	for i := int64(1); i < m.Attempts && pause < longestMailPause; i++ {
		pause *= 2
	}
	return min(pause, longestMailPause)
}

// Expires is from when it is too old to be tried again.
func (m Mail) Expires() time.Time { return m.Queued.Add(MailTime) }

// TooOld reports whether no further attempt is made.
func (m Mail) TooOld(now time.Time) bool { return !now.Before(m.Expires()) }

// Settled is when it became certain whether it is sent; zero: it is not yet.
func (m Mail) Settled() time.Time {
	switch {
	case !m.Sent.IsZero():
		return m.Sent
	case m.Undeliverable && m.Attempts > 0:
		return m.Last
	case m.Undeliverable:
		return m.Expires()
	}
	return time.Time{}
}

// Deletion is when it needs to be on record no longer; zero: it is not settled.
func (m Mail) Deletion() time.Time {
	if settled := m.Settled(); !settled.IsZero() {
		return settled.Add(MailKeptTime)
	}
	return time.Time{}
}
