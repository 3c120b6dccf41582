package check

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/secret"
)

// loadCompose reads docker-compose.yml as compose does: unknown attributes,
// keys that are there twice and references to nothing are errors. It sees no
// environment, so the file may not depend on one.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	folder, err := filepath.Abs(root)
	require.NoError(t, err)
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "docker-compose.yml")}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) { o.ResolvePaths = true })
	require.NoError(t, err)
	return project
}

func composeDeployment(t *testing.T, project *types.Project, service string) deployment {
	t.Helper()
	c := project.Services[service]
	d := deployment{env: map[string]string{}, files: map[string][]byte{}}
	for name, value := range c.Environment {
		require.NotNil(t, value, "%s would come from whoever runs compose", name)
		d.env[name] = *value
	}
	for _, mounted := range c.Secrets {
		content, err := os.ReadFile(project.Secrets[mounted.Source].File)
		require.NoError(t, err)
		d.files[path.Join("/run/secrets", mounted.Target)] = content
	}
	for port := range strings.FieldsSeq(text(t, readDockerfile(t, service)[1], "EXPOSE")) {
		number, err := strconv.Atoi(port)
		require.NoError(t, err)
		d.ports = append(d.ports, number)
	}
	for _, port := range c.Ports {
		assert.Contains(t, d.ports, int(port.Target))
	}
	require.NotNil(t, c.StopGracePeriod)
	d.grace = time.Duration(*c.StopGracePeriod)
	return d
}

func TestComposeServices(t *testing.T) {
	project := loadCompose(t)
	for _, name := range []string{"api", "dispatcher", "receiver"} {
		c := project.Services[name]
		require.NotNil(t, c.Build, name)
		assert.Equal(t, project.WorkingDir, c.Build.Context, name)
		assert.FileExists(t, filepath.Join(c.Build.Context, c.Build.Dockerfile), name)
		assert.True(t, c.ReadOnly, name)
		assert.Equal(t, []string{"ALL"}, c.CapDrop, name)
	}
	for _, name := range []string{"api", "dispatcher"} {
		assert.Equal(t, types.HealthCheckTest{"CMD", "/" + name, "-healthcheck"}, project.Services[name].HealthCheck.Test)
	}
	for name, c := range project.Services {
		for dependency, how := range c.DependsOn {
			if how.Condition == types.ServiceConditionHealthy {
				assert.NotNil(t, project.Services[dependency].HealthCheck, "%s waits for %s", name, dependency)
			}
		}
		for _, port := range c.Ports {
			assert.Equal(t, "127.0.0.1", port.HostIP, "%s: a local stack is not for the neighbours", name)
		}
	}
	assert.NotContains(t, project.Services["dispatcher"].DependsOn, "mongodb")
}

// The receiver is in the network that the services may deliver to.
func TestComposeNetworkMayBeDeliveredTo(t *testing.T) {
	project := loadCompose(t)
	pools := project.Networks["default"].Ipam.Config
	require.Len(t, pools, 1)
	network, err := netip.ParsePrefix(pools[0].Subnet)
	require.NoError(t, err)
	for _, service := range []string{"api", "dispatcher"} {
		assert.Equal(t, network.String(), *project.Services[service].Environment["ALLOW_CIDRS"], service)
	}
}

// The files that everyone may read do what the documentation says of them.
func TestLocalSecrets(t *testing.T) {
	_, err := secret.OpenKeysetFile(filepath.Join(root, "deploy/local/insecure-keyset.json"))
	require.NoError(t, err)
	tokens, err := os.ReadFile(filepath.Join(root, "deploy/local/insecure-tokens.yaml"))
	require.NoError(t, err)
	hash := sha256.Sum256([]byte("local-token"))
	assert.Contains(t, string(tokens), hex.EncodeToString(hash[:]))
}
