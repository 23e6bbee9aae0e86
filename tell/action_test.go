package tell

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMachineIsNamedWithoutItsPort(t *testing.T) {
	for from, want := range map[string]string{
		"127.0.0.1:48298": "127.0.0.1", "[::1]:48298": "::1", "::1": "::1", "10.0.0.7": "10.0.0.7", "": "",
		"10.0.0.7:52114 for 203.0.113.9": "203.0.113.9 by 10.0.0.7", "[fd00::7]:52114 for 2001:db8::1": "2001:db8::1 by fd00::7",
	} {
		require.Equal(t, want, Machine(from), from)
	}
}
