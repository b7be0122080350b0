# Sets up {{IMAGE}} revision {{REVISION}} as the first image of this computer.
#
# Run it as an administrator from the folder in which the kit lies. Again is fine.
# It ends with 0 when everything is in place and checked, and with 1 after it has said what failed.

$ErrorActionPreference = 'Stop'

$Images = {{IMAGES}}
$Prestaged = {{PRESTAGED}}
$Index = '{{INDEX}}'
$Files = @(
{{FILES}}
)

# The folders are Administrators'. They and SYSTEM may do everything, Authenticated Users what is listed.
$ImagesRights = '{{IMAGES_RIGHTS}}'
$PrestagedRights = '{{PRESTAGED_RIGHTS}}'

function Set-Rights($Folder, $Rights) {
    $List = New-Object Security.AccessControl.DirectorySecurity
    $List.SetSecurityDescriptorSddlForm($Rights)
    Set-Acl -Path ([Management.Automation.WildcardPattern]::Escape($Folder)) -AclObject $List
}

function Get-Digest($Path) {
    # Of the two that .NET has, the one that is allowed where only approved cryptography is.
    $Sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $Stream = [IO.File]::OpenRead($Path)
    try {
        return [BitConverter]::ToString($Sha256.ComputeHash($Stream)).Replace('-', '')
    }
    finally {
        $Stream.Close()
    }
}

# Copied under another name, checked, renamed, marked read-only.
function Copy-Checked($File) {
    $Source = [IO.Path]::Combine($Kit, $File.Name)
    $Target = [IO.Path]::Combine($Prestaged, $File.Name)
    if ([IO.File]::Exists($Target) -and (Get-Digest $Target) -eq $File.Digest) {
        [IO.File]::SetAttributes($Target, 'ReadOnly')
        return
    }
    if ($Kit -eq $Prestaged) {
        throw "$($File.Name) is missing, or is not the file that was packed: its digest is another"
    }
    $Copy = "$Target.part"
    # An index tells the client that its image is there: not while it is not.
    $OfTarget = [IO.Path]::Combine($Prestaged, $Index)
    if ($Index -and [IO.File]::Exists($OfTarget)) {
        [IO.File]::SetAttributes($OfTarget, 'Normal')
        [IO.File]::Delete($OfTarget)
    }
    foreach ($Old in $Copy, $Target) {
        if ([IO.File]::Exists($Old)) {
            [IO.File]::SetAttributes($Old, 'Normal')
        }
    }
    [IO.File]::Copy($Source, $Copy, $true)
    [IO.File]::SetAttributes($Copy, 'Normal')
    if ((Get-Digest $Copy) -ne $File.Digest) {
        [IO.File]::Delete($Copy)
        throw "the copy of $($File.Name) is not the file that was packed: its digest is another"
    }
    [IO.File]::Delete($Target)
    [IO.File]::Move($Copy, $Target)
    [IO.File]::SetAttributes($Target, 'ReadOnly')
}

$Step = 'the folders could not be made'
try {
    $Here = Split-Path -Parent $MyInvocation.MyCommand.Path
    $Kit = [IO.Path]::Combine($Here, 'MED-V Images\PrestagedImages')
    [void][IO.Directory]::CreateDirectory($Prestaged)

    $Step = 'the rights of the folders could not be set; is this an administrator?'
    Set-Rights $Images $ImagesRights
    Set-Rights $Prestaged $PrestagedRights

    # The index comes last.
    foreach ($File in $Files) {
        $Step = "$($File.Name) could not be put in place"
        Copy-Checked $File
    }

    # Where the client looks for them. It is a 32-bit program.
    $Step = 'the registry value PrestagedImagesPath could not be set'
    $Key = 'HKEY_LOCAL_MACHINE\SOFTWARE\Kidaro'
    if ([IntPtr]::Size -eq 8) {
        $Key = 'HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Kidaro'
    }
    [Microsoft.Win32.Registry]::SetValue($Key, 'PrestagedImagesPath', $Prestaged)
}
catch {
    Write-Host "prestage: FAILED: $Step. $($_.Exception.Message)"
    exit 1
}
Write-Output 'prestage: {{IMAGE}} revision {{REVISION}} is in place and checked. Install the client with'
Write-Output "    msiexec /i Client.msi VMSFOLDER=`"$Images`""
exit 0
