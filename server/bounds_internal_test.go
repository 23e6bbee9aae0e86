package server

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPagesKeepTheBoundsOfTheAPI: the API reads its bounds from tags, which cannot name a constant; the pages have the constants.
func TestPagesKeepTheBoundsOfTheAPI(t *testing.T) {
	most := map[string]int{"Reason": maxReason, "Key": maxKey}
	found := map[string]int{}
	for _, body := range []any{StartBody{}, UrgentBody{}, ReasonBody{}, UndoBody{}, RetryBody{}, PromoteBody{}, AnswerBody{}} {
		for f := range reflect.TypeOf(body).Fields() {
			if bound, ok := most[f.Name]; ok {
				require.Equal(t, strconv.Itoa(bound), f.Tag.Get("maxLength"), "%T.%s", body, f.Name)
				found[f.Name]++
			}
		}
	}
	require.Equal(t, map[string]int{"Reason": 6, "Key": 3}, found)
}
