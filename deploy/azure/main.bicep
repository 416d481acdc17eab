// A Kaizen sandbox on Azure Container Apps, in the same replica as the agent: they share loopback, and nothing listens outside.
// The environment is internal and in your own subnet; the model is asked with the app's own identity's token, kept in Key Vault.

targetScope = 'resourceGroup'

@description('Where everything is.')
param location string = resourceGroup().location

@description('Whose sandbox it is.')
@minLength(1)
@maxLength(32)
param agentName string

@description('The agent\'s image.')
param agentImage string

@description('Kaizen\'s image, pinned by digest: registry.example/kaizen@sha256:…')
param kaizenImage string

@description('The subnet of the environment, delegated to Microsoft.App/environments.')
param subnetId string

@description('What the agent is for, as JSON.')
param declaration string

@description('The control plane.')
param apiUrl string

@description('Observe or enforce.')
@allowed([
  'observe'
  'enforce'
])
param mode string = 'observe'

@description('Key Vault secret with the sandbox\'s token (at least 20 characters).')
param tokenSecretUri string

@description('Key Vault secret with an API key of scope observer.')
param apiKeySecretUri string

@description('A user-assigned identity that may read these two secrets and pull the images, and nothing else.')
param identityId string

@description('The registry\'s server.')
param registryServer string

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${agentName}-kaizen'
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 365
  }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: '${agentName}-kaizen'
  location: location
  properties: {
    vnetConfiguration: {
      internal: true
      infrastructureSubnetId: subnetId
    }
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: logs.properties.customerId
        sharedKey: logs.listKeys().primarySharedKey
      }
    }
  }
}

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: agentName
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    environmentId: environment.id
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [
        {
          server: registryServer
          identity: identityId
        }
      ]
      secrets: [
        {
          name: 'kaizen-token'
          keyVaultUrl: tokenSecretUri
          identity: identityId
        }
        {
          name: 'kaizen-api-key'
          keyVaultUrl: apiKeySecretUri
          identity: identityId
        }
      ]
    }
    template: {
      scale: {
        minReplicas: 1
        maxReplicas: 1
      }
      volumes: [
        {
          name: 'kaizen-data'
          storageType: 'EmptyDir'
        }
      ]
      containers: [
        {
          name: 'agent'
          image: agentImage
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          env: [
            {
              name: 'KZ_TOKEN'
              secretRef: 'kaizen-token'
            }
            {
              name: 'KZ_AGENT'
              value: agentName
            }
            {
              name: 'KZ_SANDBOX_URL'
              value: 'http://127.0.0.1:8081'
            }
            {
              name: 'KZ_EGRESS_URL'
              value: 'http://127.0.0.1:8080'
            }
          ]
        }
        {
          name: 'sandbox'
          image: kaizenImage
          args: [
            'sandbox'
          ]
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          env: [
            {
              name: 'KZ_AGENT'
              value: agentName
            }
            {
              name: 'KZ_HOST'
              value: '127.0.0.1'
            }
            {
              name: 'KZ_MODE'
              value: mode
            }
            {
              name: 'KZ_DECLARATION'
              value: declaration
            }
            {
              name: 'KAIZEN_API_URL'
              value: apiUrl
            }
            {
              name: 'KZ_TOKEN'
              secretRef: 'kaizen-token'
            }
            {
              name: 'KAIZEN_API_KEY'
              secretRef: 'kaizen-api-key'
            }
          ]
          volumeMounts: [
            {
              volumeName: 'kaizen-data'
              mountPath: '/var/lib/kaizen'
            }
          ]
          probes: [
            {
              type: 'Liveness'
              tcpSocket: {
                port: 8081
                host: '127.0.0.1'
              }
              periodSeconds: 10
            }
          ]
        }
      ]
    }
  }
}

output appId string = app.id
