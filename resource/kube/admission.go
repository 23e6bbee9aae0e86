package kube

import (
	"encoding/json"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serindev/serin/resource"
)

const (
	// maxReview bounds a request from the API server: an object has 1.5 MiB at most, and a request holds it twice.
	maxReview = 4 << 20
	// maxReviews is how many requests are answered at the same time; beyond it the API server asks again, or does without.
	maxReviews = 8
)

// Review says what would be wrong with an object, and what another object may still fix.
type Review func(Document) (wrong, later []resource.Problem)

// Admission answers the API server's admission requests: an object that its status would call wrong is refused. What
// another object may still fix is a warning, since kubectl apply and GitOps tools write objects in any order. Admission
// does not authenticate its caller, and says no more than a status does.
func Admission(review Review) http.Handler {
	places := make(chan struct{}, maxReviews)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		var asked admissionv1.AdmissionReview
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReview)).Decode(&asked); err != nil || asked.Request == nil {
			http.Error(w, "expected an AdmissionReview", http.StatusBadRequest)
			return
		}
		answer := admissionv1.AdmissionReview{TypeMeta: asked.TypeMeta, Response: answerTo(asked.Request, review)}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // a caller that has gone needs no answer
	})
}

// answerTo answers one request.
func answerTo(q *admissionv1.AdmissionRequest, review Review) *admissionv1.AdmissionResponse {
	out := &admissionv1.AdmissionResponse{UID: q.UID, Allowed: true}
	var u unstructured.Unstructured
	if err := json.Unmarshal(q.Object.Raw, &u.Object); err != nil || u.Object == nil || resources[q.Kind.Kind].Resource == "" {
		return out // a deletion, or a kind that is not ours
	}
	u.SetNamespace(q.Namespace) // if the object names none
	if u.GetDeletionTimestamp() != nil {
		return out // an invalid object must be deletable
	}
	wrong, later := review(document(q.Kind.Kind, &u).Document)
	for _, p := range later {
		out.Warnings = append(out.Warnings, p.String())
	}
	if len(wrong) == 0 {
		return out
	}
	out.Allowed = false
	lines := make([]string, len(wrong))
	details := &metav1.StatusDetails{Name: u.GetName(), Group: Group, Kind: q.Kind.Kind}
	for i, p := range wrong {
		lines[i] = p.String()
		details.Causes = append(details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: p.Path, Message: p.Message})
	}
	out.Result = &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: strings.Join(lines, "; "), Details: details,
	}
	return out
}
