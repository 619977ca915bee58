package terms

import (
	"testing"
	"time"
)

func TestPurchaseToken(t *testing.T) {
	made := time.Date(2028, 2, 28, 10, 0, 0, 0, time.UTC)
	expires := PurchaseTokenExpires(made.Add(700 * time.Millisecond).In(time.FixedZone("", 9*3600)))
	if want := time.Date(2028, 2, 29, 10, 0, 0, 0, time.UTC); !expires.Equal(want) || expires.Location() != time.UTC {
		t.Fatalf("expires %s, want %s", expires, want)
	}
	for name, row := range map[string]struct {
		now  time.Time
		want bool
	}{
		"when it was made":        {made, true},
		"one second before":       {expires.Add(-time.Second), true},
		"exactly at":              {expires, false},
		"later, in another zone":  {expires.Add(time.Second).In(time.FixedZone("", -8*3600)), false},
		"by a clock that is late": {made.Add(-time.Hour), true},
	} {
		if got := PurchaseTokenWorks(expires, row.now); got != row.want {
			t.Errorf("%s: works = %t", name, got)
		}
	}
}
