package tell_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/serindev/serin/record"
	"github.com/serindev/serin/tell"
)

func TestARolloutIsFoundByWhatPeopleKnowOfIt(t *testing.T) {
	v := underWayView()
	v.Namespace, v.About = "pro", record.About{Owner: "Payments Team", Labels: map[string]string{"team": "payments", "tier": "1"}}
	for query, want := range map[string]bool{
		"": true, "sho": true, "SHOP": true, "1.4": true, "payments team": true, "pro": true, "team=payments": true, "shop tier=1": true,
		"cart": false, "shop cart": false, "team=pay": false, "tier=2": false, "team": true, "teams": false,
	} {
		require.Equal(t, want, tell.Matches(v, query), query)
	}
}
