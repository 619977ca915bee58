package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LicenseServerSpec describes a Remote Desktop licence server.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.licenseServerID) || (has(self.licenseServerID) && self.licenseServerID == oldSelf.licenseServerID)",message="licenseServerID cannot change: a server that was set up again is another one to the clearing house, so create another LicenseServer",fieldPath=".licenseServerID"
type LicenseServerSpec struct {
	// windowsServerVersion that the server runs. It can be upgraded, not
	// downgraded.
	// +required
	// +kubebuilder:validation:XValidation:rule="int(self) >= int(oldSelf)",message="a licence server can be upgraded, not downgraded: licences for its version would no longer work on it"
	WindowsServerVersion WindowsServerVersion `json:"windowsServerVersion"`

	// licenseServerID is what the clearing house gave the server when it was
	// activated: 35 letters and digits, without the hyphens it is shown with.
	// Leave it out until then. The activation needs TCP port 443.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z0-9]{35}$')",message="give the 35 capital letters and digits that the clearing house shows, without hyphens; leave licenseServerID out until the server is activated"
	LicenseServerID string `json:"licenseServerID,omitempty"`
}

// LicenseServerStatus is what the operator found out about a LicenseServer.
type LicenseServerStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready (True: licences can be installed), and while abnormal
	// Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LicenseServer is a customer's Remote Desktop licence server, on which client
// access licences are installed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=lserver
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Windows Server",type=string,JSONPath=`.spec.windowsServerVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type LicenseServer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec LicenseServerSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status LicenseServerStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (s *LicenseServer) Conditions() *[]metav1.Condition { return &s.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (s *LicenseServer) SetObservedGeneration(g int64) { s.Status.ObservedGeneration = g }

// LicenseServerList is a list of LicenseServers.
//
// +kubebuilder:object:root=true
type LicenseServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LicenseServer `json:"items"`
}
