package cluster

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// image3 is the image of a release that is undone later.
const image3 = "registry.example.com/flask:3"

// undo requests the version from before the last release.
func (w *world) undo() (id string, status int, text string) {
	var out struct{ ID string }
	status, text = w.call(http.MethodPost, "/api/v1/rollouts/"+w.name+"/undo", map[string]string{"reason": "orders are lost"}, &out)
	return out.ID, status, text
}

func TestAReleaseThatHasEndedIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pipeline)
	loads := w.users(t, beta)
	for _, image := range []string{image2, image3} {
		id := w.toPromotion(t, image)
		w.ends(t, id, "the release of "+image+" has ended", "released")
		require.Equal(t, image, imageOf(w.deployment(t, w.pro, w.name)))
	}

	id, status, text := w.undo()
	require.Equal(t, http.StatusCreated, status, text)
	w.ends(t, id, "the undo has ended", "released")
	require.Equal(t, image2, imageOf(w.deployment(t, w.pro, w.name)))
	require.EqualValues(t, 4, *w.deployment(t, w.pro, w.name).Spec.Replicas)
	require.Zero(t, *w.deployment(t, w.pro, w.name+"-canary").Spec.Replicas)
	noRequestFailed(t, loads)
	list, err := w.c.Client.BatchV1().Jobs(w.pro).List(t.Context(), metav1.ListOptions{LabelSelector: "serin.dev/release=" + id})
	require.NoError(t, err)
	require.Empty(t, list.Items, "going back does not run the migration again")
}
