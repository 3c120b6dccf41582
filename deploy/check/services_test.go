package check

import (
	"path"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestServicesAreDeployedAsTheyAre(t *testing.T) {
	all := overlays(t)
	project := loadCompose(t)
	for _, service := range []string{"api", "dispatcher"} {
		p := buildProgram(t, service)
		for _, o := range all {
			t.Run(o.name+"/"+service, func(t *testing.T) {
				w, deployed := o.pods["webhooks-"+service]
				require.True(t, deployed)
				require.Len(t, w.template.Spec.Containers, 1)
				d := kubernetesDeployment(t, o, w)
				p.assertAgrees(t, d)
				assertProbes(t, w, int32(p.port(t, d, "OPS_ADDR")))
				assertMemory(t, p, d, w.template.Spec.Containers[0].Resources)
			})
		}
		t.Run("compose/"+service, func(t *testing.T) {
			p.assertAgrees(t, composeDeployment(t, project, service))
		})
	}
}

// kubernetesDeployment puts together what the kubelet would.
func kubernetesDeployment(t *testing.T, o overlay, w workload) deployment {
	t.Helper()
	container := w.template.Spec.Containers[0]
	d := deployment{env: map[string]string{}, files: map[string][]byte{}}
	for _, from := range container.EnvFrom {
		for name, value := range o.configMaps[from.ConfigMapRef.Name].Data {
			assert.NotContains(t, d.env, name, "set by two ConfigMaps")
			d.env[name] = value
		}
	}
	for _, variable := range container.Env {
		assert.NotContains(t, d.env, variable.Name, "set twice")
		d.env[variable.Name] = variable.Value
		if variable.ValueFrom != nil {
			d.env[variable.Name] = string(o.secretValue(variable.ValueFrom.SecretKeyRef))
		}
	}
	for _, mount := range container.VolumeMounts {
		i := slices.IndexFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		name := w.template.Spec.Volumes[i].Secret.SecretName
		for _, key := range o.secretKeys()[name] {
			d.files[path.Join(mount.MountPath, key)] = o.secrets[name].Data[key]
		}
	}
	for _, port := range container.Ports {
		d.ports = append(d.ports, int(port.ContainerPort))
	}
	require.NotNil(t, w.template.Spec.TerminationGracePeriodSeconds)
	d.grace = time.Duration(*w.template.Spec.TerminationGracePeriodSeconds) * time.Second
	return d
}

// secretValue returns the value, or one that could be it where only the cluster
// has it.
func (o overlay) secretValue(ref *corev1.SecretKeySelector) []byte {
	if secret, local := o.secrets[ref.Name]; local {
		return secret.Data[ref.Key]
	}
	return []byte("mongodb://user:password@mongodb.example.com:27017/?replicaSet=rs0")
}

func assertProbes(t *testing.T, w workload, opsPort int32) {
	t.Helper()
	container := w.template.Spec.Containers[0]
	for endpoint, probe := range map[string]*corev1.Probe{
		"/livez":  container.LivenessProbe,
		"/readyz": container.ReadinessProbe,
	} {
		require.NotNil(t, probe, endpoint)
		require.NotNil(t, probe.HTTPGet, endpoint)
		assert.Equal(t, endpoint, probe.HTTPGet.Path)
		i := slices.IndexFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal })
		require.GreaterOrEqual(t, i, 0, "port of %s", endpoint)
		assert.Equal(t, opsPort, container.Ports[i].ContainerPort)
	}
}

// assertMemory holds the three numbers together that bound a pod's memory.
func assertMemory(t *testing.T, p program, d deployment, r corev1.ResourceRequirements) {
	t.Helper()
	soft, err := resource.ParseQuantity(d.env["GOMEMLIMIT"][:len(d.env["GOMEMLIMIT"])-1])
	require.NoError(t, err, "GOMEMLIMIT in MiB or GiB")
	assert.Less(t, soft.Value(), r.Limits.Memory().Value(), "the collector must act before the kernel")
	if _, known := p.setting("MAX_IN_FLIGHT_BYTES"); known {
		bodies, err := resource.ParseQuantity(p.effective(d, "MAX_IN_FLIGHT_BYTES"))
		require.NoError(t, err)
		assert.LessOrEqual(t, 2*bodies.Value(), soft.Value(), "bodies and as much again for everything else")
	}
}
