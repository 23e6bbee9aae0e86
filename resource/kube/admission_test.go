package kube_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/serindev/serin/resource"
	"github.com/serindev/serin/resource/kube"
)

// strict refuses a document with 66% in it, and warns of one that names an analysis.
func strict(d kube.Document) (wrong, later []resource.Problem) {
	if strings.Contains(string(d.Spec), "66%") {
		wrong = append(wrong, resource.Problem{Path: "spec.steps[0].gray.weights[0]", Message: "66% is too much for " + d.Namespace + "/" + d.Name},
			resource.Problem{Message: "and so on"})
	}
	if strings.Contains(string(d.Spec), "web") {
		later = append(later, resource.Problem{Path: "spec.analysis[0]", Message: "there is no analysis web"})
	}
	return wrong, later
}

func review(t *testing.T, body string) (*httptest.ResponseRecorder, *admissionv1.AdmissionResponse) {
	t.Helper()
	out := httptest.NewRecorder()
	kube.Admission(strict).ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewBufferString(body)))
	var answer admissionv1.AdmissionReview
	if out.Code == http.StatusOK {
		require.NoError(t, json.Unmarshal(out.Body.Bytes(), &answer))
	}
	return out, answer.Response
}

func TestTheAPIServerLearnsWhatIsWrongWithThePathOfTheField(t *testing.T) {
	t.Parallel()
	ask := func(object string) *admissionv1.AdmissionResponse {
		_, answer := review(t, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u1", "namespace": "pro",
			"kind": {"group": "serin.dev", "version": "v1alpha1", "kind": "Rollout"}, "object": `+object+`}}`)
		require.EqualValues(t, "u1", answer.UID)
		return answer
	}
	answer := ask(`{"metadata": {"name": "shop"}, "spec": {"weights": "66%", "analysis": ["web"]}}`)
	require.False(t, answer.Allowed)
	require.Equal(t, "spec.steps[0].gray.weights[0]: 66% is too much for pro/shop; and so on", answer.Result.Message)
	require.Equal(t, "spec.steps[0].gray.weights[0]", answer.Result.Details.Causes[0].Field)
	require.EqualValues(t, http.StatusUnprocessableEntity, answer.Result.Code)
	require.Equal(t, []string{"spec.analysis[0]: there is no analysis web"}, answer.Warnings)

	answer = ask(`{"metadata": {"name": "shop"}, "spec": {"analysis": ["web"]}}`)
	require.True(t, answer.Allowed, "objects come in any order")
	require.Len(t, answer.Warnings, 1)

	answer = ask(`{"metadata": {"name": "shop", "deletionTimestamp": "2026-11-30T00:00:00Z"}, "spec": {"weights": "66%"}}`)
	require.True(t, answer.Allowed, "a wrong object must be able to lose its finalizer")
	require.True(t, ask("null").Allowed, "a deletion")
}

func TestARequestThatIsNoReviewIsRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{", "{}", `{"request": null}`, `{"request": {"object": ` + strings.Repeat(" ", 5<<20) + `{}}}`} {
		out, _ := review(t, body)
		require.Equal(t, http.StatusBadRequest, out.Code)
	}
	_, answer := review(t, `{"request": {"uid": "u", "kind": {"kind": "Pod"}, "object": {"spec": {"a": "66%"}}}}`)
	require.True(t, answer.Allowed, "other kinds are nobody's business here")
	_, answer = review(t, `{"request": {"uid": "u", "kind": {"kind": "Rollout"}, "object": [1]}}`)
	require.True(t, answer.Allowed)
}
